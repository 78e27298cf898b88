// Scores against values worked by hand or by the standard formulas.
#include <catch2/catch.hpp>
#include <string>
#include <vector>
#include "../../examples/evaluate/metrics.hpp"

namespace evaluation {
namespace {

using texts = std::vector<std::string>;

TEST_CASE("exact match and F1 follow SQuAD's normalisation") {
  CHECK(normalised_words("The  Quick-brown fox, an A.I. €5!") == texts{"quickbrown", "fox", "ai", "€5"});
  CHECK(exact_match("the Frame ends.", texts{"x", "Frame ends"}));
  CHECK_FALSE(exact_match("frame ended", texts{"frame ends"}));
  CHECK_FALSE(exact_match("", texts{}));
  // 3 common words of 4 and 5: 2·3/9.
  CHECK(token_f1("cats chase small mice", "big cats chase mice daily") == Approx(2. / 3));
  CHECK(token_f1("no no no", "no") == Approx(0.5));  // repetitions count once
  CHECK(token_f1("", "the") == 1);
  CHECK(token_f1("word", "") == 0);
  CHECK(token_f1("a b", texts{"x", "b", "q r s"}) == Approx(1));  // "a" is an article; the best reference counts
  CHECK(token_f1("anything", texts{}) == 0);
  CHECK(holds_reference("It is called a partial index, they say.", texts{"partial index"}));
  CHECK_FALSE(holds_reference("partially indexed", texts{"partial index"}));
  CHECK_FALSE(holds_reference("index partial", texts{"partial index"}));
  CHECK_FALSE(holds_reference("anything", texts{"the"}));  // nothing is left of it
}

TEST_CASE("citation marks go, subscripts stay") {
  CHECK(without_citations("It is 8 %. [1] So [2, 3] be it [4]") == "It is 8 %. So be it");
  CHECK(without_citations("x = a[1] + b[i] [2]") == "x = a[1] + b[i]");
  CHECK(without_citations("[1][2] start") == " start");
  CHECK(without_citations("[a] [] [1") == "[a] [] [1");
  CHECK(without_citations("") == "");
}

std::vector<double> values(std::string const& text) {
  std::vector<double> all;
  for (auto const& q : parse_quantities(text)) all.push_back(q.value);
  return all;
}

TEST_CASE("numbers are read with signs, groups, exponents, multipliers and units") {
  CHECK(values("$11,556.59 and -3.5 and \xe2\x88\x92""7, 1e3, 2.5E-1") == std::vector<double>{11556.59, -3.5, -7, 1000, 0.25});
  CHECK(values("-$5, $-6, 10-20, 5,000,000, 1,2345, 1,2") == std::vector<double>{-5, -6, 10, 20, 5000000, 1, 2345, 1, 2});
  CHECK(values("30k, 1.5 million, $2bn, 3 thousand") == std::vector<double>{30000, 1.5e6, 2e9, 3000});
  CHECK(values("CF_1 sha256 v2.1 1.2.3 4th 1st x9") == std::vector<double>{});
  CHECK(values("ends with 7.") == std::vector<double>{7});
  CHECK(values("1e999, 12e, 5e+") == std::vector<double>{});  // beyond double, or letters that are no unit
  CHECK(values(std::string(400, '9')).empty());
  auto const q = parse_quantities("8.4 %, 9 percent, USD 5, 3 dollars, 2.71 years, 18 months, 250ms, 40 rows, 3 mice");
  REQUIRE(q.size() == 9);
  CHECK(q[0].dimension == "percent");
  CHECK(q[1].dimension == "percent");
  CHECK(q[2].dimension == "money");
  CHECK(q[3].dimension == "money");
  CHECK((q[4].dimension == "years" && q[5].dimension == "years"));
  CHECK(q[5].value == Approx(1.5));
  CHECK((q[6].dimension == "seconds" && q[6].value == Approx(0.25)));
  CHECK(q[7].dimension == "rows");
  CHECK(q[8].dimension.empty());
}

TEST_CASE("a number is right within its tolerance, in its unit, as the conclusion") {
  auto const right = [](std::string const& answer, double reference, double tolerance, std::string const& unit) { return match_number(answer, reference, tolerance, unit).concluded; };
  CHECK(right("The present values are $27,272.73 and $33,057.85, so the NPV is $11,556.59.", 11556.59, 1, "USD"));
  CHECK_FALSE(right("The NPV of $11,556.59 falls to $643.58.", 11556.59, 1, "USD"));
  CHECK(match_number("The NPV of $11,556.59 falls to $643.58.", 11556.59, 1, "USD").held);
  CHECK(right("At 10% in 2023 the NPV is $11,556.59 over 4 years.", 11556.59, 1, "USD"));  // other units and bare numbers do not disturb it
  CHECK(right("11557", 11556.59, 1, "USD"));
  CHECK_FALSE(right("11558", 11556.59, 1, "USD"));
  CHECK_FALSE(right("11556.59 %", 11556.59, 1, "USD"));
  CHECK(right("The tolerance's edge: 8.45 %", 8.4, 0.05, "%"));
  CHECK(right("600 million dollars", 600, 0.5, "million USD"));
  CHECK(right("$0.6bn", 600, 0.5, "million USD"));
  CHECK(right("600", 600, 0.5, "million USD"));
  CHECK(right("600 million", 600, 0.5, "million USD"));
  CHECK_FALSE(right("$600", 600, 0.5, "million USD"));
  CHECK(right("80 %", 0.8, 0.01, "ratio"));
  CHECK(right("1.6 times", 1.6, 0.01, "ratio"));
  CHECK(right("18 months", 1.5, 0.01, "years"));
  CHECK(right("about 0.25 seconds", 250, 1, "milliseconds"));
  CHECK(right("7 pages", 7, 0, "pages"));
  CHECK_FALSE(right("7 rows", 7, 0, "pages"));
  CHECK(right("7 wombats", 7, 0, "wombats"));
  CHECK_FALSE(right("", 0, 1, "USD"));
  CHECK_FALSE(right("no number", 0, 1, "USD"));
}

double bleu_of(std::string const& answer, texts const& references, bool smoothed = true) {
  bleu_counts c;
  c.add(answer, references);
  return bleu(c, smoothed);
}

TEST_CASE("BLEU-4: clipped precisions, brevity penalty, smoothing") {
  CHECK(bleu_of("the cat sat on the mat", {"the cat sat on the mat"}, false) == Approx(1));
  // Papineni et al.'s example: seven times "the" against two; unigram precision 2/7.
  bleu_counts c;
  c.add("the the the the the the the", texts{"the cat is on the mat", "there is a cat on the mat"});
  CHECK(c.matched[0] == 2);
  CHECK(c.possible[0] == 7);
  CHECK(c.reference_length == 7);  // of 6 and 7 the nearer
  CHECK(bleu(c, false) == 0);
  // 5 words against 6: precisions 5/5 4/4 3/3 2/2, brevity e^(1 − 6/5).
  CHECK(bleu_of("the cat sat on the", {"the cat sat on the mat"}, false) == Approx(std::exp(-0.2)));
  // "a b c x": 3/4; smoothed (2+1)/(3+1), (1+1)/(2+1), (0+1)/(1+1); no brevity penalty at equal lengths.
  CHECK(bleu_of("a b c x", {"a b c d"}) == Approx(std::pow(3. / 4 * 3 / 4 * 2 / 3 * 1 / 2, 0.25)));
  CHECK(bleu_of("a b c x", {"a b c d"}, false) == 0);
  CHECK(bleu_of("", {"a"}) == 0);
  CHECK(bleu_of("q", {"a"}) == 0);
  bleu_counts two;  // a corpus adds counts; it does not average
  two.add("a b c d", texts{"a b c d"}), two.add("q r s t", texts{"w x y z"});
  CHECK(bleu(two, false) == Approx(0.5));
  CHECK(two.length == 8);
  c = {};
  c.add("a b c", texts{"a b", "a b c d"});
  CHECK(c.reference_length == 2);  // equally near: the shorter
}

TEST_CASE("ROUGE-L is the F1 of the longest common subsequence") {
  // Lin 2004: "police killed the gunman" against "police kill the gunman": LCS 3 of 4 and 4.
  CHECK(rouge_l("police kill the gunman", texts{"police killed the gunman"}) == Approx(0.75));
  CHECK(rouge_l("the gunman kill police", texts{"police killed the gunman"}) == Approx(0.5));
  CHECK(rouge_l("a b c d e", texts{"x", "a c e"}) == Approx(2. * 3 / 8));
  CHECK(rouge_l("", texts{"a"}) == 0);
  CHECK(rouge_l("a", texts{""}) == 0);
}

TEST_CASE("rankings: recall, hits, reciprocal rank, nDCG") {
  ranking_list const r{"a", "b", "a", "c", "d"};  // as documents: a b c d
  relevant_set const two{"b", "d"};
  CHECK(recall_at(r, two, 1) == 0);
  CHECK(recall_at(r, two, 2) == 0.5);
  CHECK(recall_at(r, two, 3) == 0.5);
  CHECK(recall_at(r, two, 4) == 1);
  CHECK(recall_at(r, two, 100) == 1);
  CHECK(hit_at(r, two, 2));
  CHECK_FALSE(hit_at(r, two, 1));
  CHECK_FALSE(hit_at(r, two, 0));
  CHECK_FALSE(hit_at(r, two, -1));
  CHECK(reciprocal_rank(r, two) == 0.5);
  CHECK(reciprocal_rank(r, {"z"}) == 0);
  // Gains at places 2 and 4 against 1 and 2: (1/log₂3 + 1/log₂5) / (1 + 1/log₂3).
  CHECK(ndcg_at(r, two, 10) == Approx((1 / std::log2(3) + 1 / std::log2(5)) / (1 + 1 / std::log2(3))));
  CHECK(ndcg_at(r, {"a"}, 1) == 1);
  CHECK(ndcg_at({}, two, 5) == 0);
  CHECK(ndcg_at(r, {}, 5) == 0);
  CHECK(recall_at(r, {}, 5) == 0);
}

TEST_CASE("citations: precision over marks, recall over documents") {
  auto const s = score_citations({"a", "x", "a", ""}, {"a", "b"});
  CHECK(s.precision == 0.5);
  CHECK(s.recall == 0.5);
  CHECK(s.cites);
  CHECK_FALSE(score_citations({}, {"a"}).cites);
  CHECK(score_citations({}, {"a"}).recall == 0);
  CHECK(score_citations({"a"}, {}).precision == 0);
}

TEST_CASE("abstention as a decision") {
  abstention_counts c;
  CHECK(c.f1() == 0);  // nothing counted is no division by zero
  for (int i = 0; i < 6; ++i) c.add(false, true);
  for (int i = 0; i < 2; ++i) c.add(true, true);
  for (int i = 0; i < 4; ++i) c.add(false, false);
  for (int i = 0; i < 8; ++i) c.add(true, false);
  CHECK(c.precision() == Approx(0.75));
  CHECK(c.recall() == Approx(0.6));
  CHECK(c.f1() == Approx(2 * 0.75 * 0.6 / 1.35));
}

}  // namespace
}  // namespace evaluation
