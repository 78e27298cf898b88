"""Short sentences written for these tests, one or two per language: natural text in many scripts."""
PHRASES = """
The quick brown fox doesn't jump over the lazy dogs; they've left at 5:30 p.m., haven't they?
I'LL SAY IT'S FINE, we'd go, you're right, that’s it — don't you'VE 'tis o'clock rock'n'roll
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. STRASSE, Straße, ẞ.
Dès Noël, où un zéphyr haï me vêt de glaçons würmiens, je dîne d’exquis rôtis de bœuf.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, ¿añoraba a su querido cachorro?
À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso. Não há ações.
Pchnąć w tę łódź jeża lub ośm skrzyń fig. Zażółć gęślą jaźń.
Příliš žluťoučký kůň úpěl ďábelské ódy. Řeřicha, čeština.
Árvíztűrő tükörfúrógép. Őszi köd, ünnep.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul, ISPARTA, ılık, i̇.
Muzicologă în bej vând whisky și tequila, preț fix. Ţară, ţânţar.
Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa. Ðað.
Blåbærsyltetøy og rødgrød med fløde; sju sjösjuka sjömän.
Törkylempijävongahdus. Yö, öljy, hääyöaie.
Khi nào bạn đến? Tiếng Việt có sáu thanh điệu: ngang, huyền, sắc, hỏi, ngã, nặng.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΟΔΥΣΣΕΥΣ, Ὀδυσσεύς, ᾳ ᾼ.
Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка, объём.
Щастям б'єш жук їх глицю в фон й ґедзь пріч. Ґанок, їжак.
Ђурђевак, љубав, њива, џак; Ћирилица.
Чудна моя мова, ўсё добра. Қазақстан, Өзбекистон, үндэсний.
Ագռավը նստեց ծառին։ Բարև ձեզ, աշխարհ։
ვეფხისტყაოსანი — შოთა რუსთაველი. გამარჯობა მსოფლიო, ᲒᲐᲛᲐᲠᲯᲝᲑᲐ.
איך בלש תפס גמד רוצח עז קטנה? שָׁלוֹם עֲלֵיכֶם, צה״ל.
صِف خَلقَ خَودٍ كَمِثلِ الشَمسِ إِذ بَزَغَت. السعر ١٢٣٫٤٥ ر.س.، أليس كذلك؟
یک متن فارسی با نیم‌فاصله می‌نویسیم؛ عدد ۱۲۳۴ و گچ پژ.
اُردُو زبان میں ایک جملہ ہے۔ ٹھیک ڈاکٹر ڑ ں
ܫܠܡܐ ܥܠܡܐ. ޙާޖަތް ދިވެހި. ߒߞߏ ߓߟߏ
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। क़लम, क्ष, ज्ञ, १२३।
আমি কাচ খেতে পারি, তাতে আমার কোনো ক্ষতি হয় না। ড়, ৎ, ১২৩
ਪੰਜਾਬੀ ਵਿੱਚ ਇੱਕ ਵਾਕ ਹੈ। ગુજરાતીમાં એક વાક્ય છે.
யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம். ௧௨௩
తెలుగు భాష తియ్యగా ఉంటుంది. ಕನ್ನಡ ಭಾಷೆ ಸುಂದರ. മലയാളം വാക്യം ഇതാ. සිංහල වාක්‍යයක්.
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓ ฿50
ພາສາລາວ ແມ່ນ ງາມ. မြန်မာစာ သည် လှပသည်။ ភាសាខ្មែរ ស្រស់ស្អាត។ བོད་ཡིག་ནི་མཛེས།
天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。价格为３５０元（含税），對嗎？
いろはにほへと ちりぬるを。カタカナとひらがな、漢字交じり文。ﾊﾝｶｸ ｶﾞｷﾞｸﾞ ー々〆
키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. 한글 조합 ㅎㅏㄴ
ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ. ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꮳꮃꭹ. ᐃᓄᒃᑎᑐᑦ. ሰላም ለዓለም፡፡ ፲፪፫
ⵜⴰⵎⴰⵣⵉⵖⵜ. Ᲊ ⲘⲚⲦⲢⲘⲚⲔⲎⲘⲈ. 𐌰𐌿𐌺 ᚠᚢᚦᚨᚱᚲ ᚛ᚑᚌᚐᚋ᚜ 𓀀𓁐 𒀀𒁀 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𐐀𐐨 𠀋𠮷
Net profit margin = net income / revenue = 12.5 % (prior year: 10,3 %); EBITDA €1’234.50, $1,234.50, ¥9,999, £0.99.
SELECT name, SUM(amount) AS total FROM invoices WHERE paid_at IS NULL GROUP BY name HAVING SUM(amount) > 1000;
""".strip().split("\n")
