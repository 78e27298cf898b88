// Front matter, prompts within a budget, citations, confidence, abstaining: all without a model.
#include <catch2/catch.hpp>
#include <filesystem>
#include "smalti/rag.hpp"
#include "smalti/io/json.hpp"

namespace smalti {
namespace {

template <class F>
std::string fault(F f) {
  try { f(); } catch (error const& e) { return e.what(); }
  return "nothing thrown";
}
bool has(std::string const& s, std::string const& part) { return s.find(part) != std::string::npos; }

passage made(std::string title, std::string text, float similarity = 0.7f) { return {7, "doc-" + title, title, text, {100, 100 + text.size()}, 0.1f, similarity}; }
std::vector<passage> const three{made("NPV", "Net present value discounts cash flows. A positive NPV adds value. The rate is often the WACC."),
                                 made("IRR", "The internal rate of return makes NPV zero.", 0.5f), made("WACC", "WACC weighs equity and debt. It is 8.4% here.", 0.3f)};
int words(std::string_view s) { return detail::count_words(s); }

TEST_CASE("a document: front matter in all its forms, text without its edges") {
  auto const d = parse_document("---\r\nid: a-b\ntitle: \"Net: present\"\ncategory: finance\ntags: [x, 'y z', ]\n# a remark\n\n---\n\n  Text one.\n\nTwo.\n\n", "f.md");
  CHECK(d.id == "a-b");
  CHECK(d.title == "Net: present");
  CHECK(d.category == "finance");
  CHECK(d.tags == std::vector<std::string>{"x", "y z"});
  CHECK(d.text == "Text one.\n\nTwo.");
  CHECK(d.source == "f.md");
  CHECK(parse_document("\xef\xbb\xbf---\nid: a\ntitle: b\ntags: []\n---\nc", "f.md").tags.empty());
  CHECK(parse_document("---\nid: a\ntitle: b\n---\nc --- d\n---\n", "f.md").text == "c --- d\n---");
}

TEST_CASE("a malformed document is refused with file, line, expected and found") {
  auto refused = [](std::string const& text) { return fault([&] { (void)parse_document(text, "f.md"); }); };
  CHECK(has(refused(""), "rag.2: f.md:1: expected ---"));
  CHECK(has(refused("# Title\n"), "rag.2: f.md:1: expected --- and front matter, found \"# Title\""));
  CHECK(has(refused("---\nid: a\n"), "rag.2: f.md:2: expected --- after the front matter"));
  CHECK(has(refused("---\nid a\n---\nx"), "rag.2: f.md:2: expected `name: value`, found \"id a\""));
  CHECK(has(refused("---\nid: a\nid: b\n---\nx"), "rag.3: f.md:3: expected \"id\" once, found it in line 2 too"));
  CHECK(has(refused("---\nid: a\ntitle: t\ntags: x, y\n---\nx"), "rag.2: f.md:4: tags"));
  CHECK(has(refused("---\nid: a\ntitle: t\ntags: [x,,y]\n---\nx"), "rag.2: f.md:4: tags"));
  CHECK(has(refused("---\nid: a\nauthor: t\n---\nx"), "rag.3: f.md:3: expected id, title, category or tags, found \"author\""));
  CHECK(has(refused("---\ntitle: t\n---\nx"), "rag.3: f.md:3: expected an id and a title, found no id"));
  CHECK(has(refused("---\nid: a\n---\nx"), "found no title"));
  CHECK(has(refused("---\nid: a\ntitle: t\n---\n \n\t\n"), "rag.3: f.md:4: expected a text"));
}

TEST_CASE("a folder: sorted, README left out, a second document of one id refused") {
  namespace fs = std::filesystem;
  auto const folder = (fs::temp_directory_path() / ("smalti-docs-" + std::to_string(::getpid()))).string();
  CHECK(has(fault([&] { (void)load_documents(folder); }), "rag.1: " + folder));
  fs::create_directories(folder + "/sub");
  CHECK(has(fault([&] { (void)load_documents(folder); }), "rag.1: " + folder + ": expected .md files"));
  write_file(folder + "/b.md", "---\nid: b\ntitle: B\n---\nb"), write_file(folder + "/sub/a.md", "---\nid: a\ntitle: A\n---\na");
  write_file(folder + "/README.md", "not a document"), write_file(folder + "/x.txt", "nor this");
  auto const all = load_documents(folder);
  REQUIRE(all.size() == 2);
  CHECK(all[0].id == "b");
  CHECK(all[1].source == folder + "/sub/a.md");
  write_file(folder + "/sub/c.md", "---\nid: b\ntitle: C\n---\nc");
  auto const twice = fault([&] { (void)load_documents(folder); });
  CHECK(has(twice, "rag.4: " + folder + "/sub/c.md"));
  CHECK(has(twice, folder + "/b.md has too"));
  fs::remove_all(folder);
}

TEST_CASE("the prompt has the exact form that the model is trained on") {
  auto const p = build_prompt("What is NPV?", std::span(three).first(2));
  CHECK(p.system == "Answer the question from the passages. Cite them as [1]. If they do not hold the answer, say so.");
  CHECK(p.user == "[1] NPV\n" + three[0].text + "\n\n[2] IRR\n" + three[1].text + "\n\nQuestion: What is NPV?");
  CHECK(build_prompt("Q?", {}).user == "Question: Q?");
}

TEST_CASE("a prompt never exceeds its budget, cuts at sentences, and keeps the order") {
  int const alone = words(rag_system) + words("Question: What is NPV?");
  for (int budget = alone; budget < alone + 60; ++budget) {
    auto const p = build_prompt("What is NPV?", three, {.budget = budget, .count = words});
    CHECK(words(p.system) + words(p.user) <= budget);
    for (auto const& x : p.passages) {
      auto const whole = std::find_if(three.begin(), three.end(), [&](auto const& y) { return y.title == x.title; });
      CHECK(whole->text.rfind(x.text, 0) == 0);
      CHECK(x.text.back() == '.');  // whole sentences
      CHECK(x.span.begin == 100);
      CHECK(x.span.end == 100 + x.text.size());
    }
  }
  CHECK(build_prompt("What is NPV?", three, {.budget = alone, .count = words}).passages.empty());
  CHECK(build_prompt("What is NPV?", three, {.budget = 1000, .count = words}).passages.size() == 3);
  auto const cut = build_prompt("What is NPV?", three, {.budget = alone + 2 + 6 + 5, .count = words});  // [1], NPV, two sentences
  REQUIRE(cut.passages.size() == 1);
  CHECK(cut.passages[0].text == "Net present value discounts cash flows. A positive NPV adds value.");
  CHECK(has(fault([&] { (void)build_prompt("What is NPV?", three, {.budget = alone - 1, .count = words}); }), "rag.5"));
}

TEST_CASE("citations: numbers, claims and evidence; marks that are none") {
  std::string const a = "NPV discounts the cash flows [1]. It is 8.4% here. [3, 2] So [9] or [0] adds [x] value[]. [1";
  auto const c = parse_citations(a, three);
  REQUIRE(c.all.size() == 3);
  auto part = [](std::string const& s, text_span w) { return s.substr(w.begin, w.end - w.begin); };
  CHECK(c.all[0].number == 1);
  CHECK(part(a, c.all[0].mark) == "[1]");
  CHECK(part(a, c.all[0].claim) == "NPV discounts the cash flows [1].");
  CHECK(part(three[0].text, c.all[0].evidence) == "Net present value discounts cash flows.");
  CHECK(c.all[0].support == 1);
  CHECK(c.all[1].number == 3);
  CHECK(c.all[1].passage == 2);
  CHECK(part(a, c.all[1].mark) == "[3, 2]");
  CHECK(part(a, c.all[1].claim) == "It is 8.4% here.");  // the mark after the stop belongs to what it follows
  CHECK(part(three[2].text, c.all[1].evidence) == "It is 8.4% here.");
  CHECK(c.all[2].number == 2);
  CHECK(c.all[2].evidence == text_span{});  // the IRR says nothing of the kind
  CHECK(c.unknown == std::vector{9, 0});
  CHECK(parse_citations("", three).all.empty());
  CHECK(parse_citations("[1]", three).all.size() == 1);
  CHECK(parse_citations("[99999999999999999999]", three).unknown.size() == 1);
  CHECK(parse_citations("[1][2] both", std::span(three).first(1)).unknown == std::vector{2});
}

TEST_CASE("a reply: the generator sees the prompt; confidence by its formula") {
  auto const generator = [](rag_prompt const& p) -> generated_text {
    CHECK(has(p.user, "Question: What is WACC here?"));
    return {.text = "It is 8.4% here [3].", .log_probability = -0.5f, .prompt_tokens = 80, .tokens = 8, .prefill_seconds = 0.4, .decode_seconds = 0.2};
  };
  auto const r = answer(generator, "What is WACC here?", three, {}, {.embed = 0.01, .search = 0.002});
  CHECK_FALSE(r.abstained);
  CHECK(r.parts.retrieval == Approx((0.3 - 0.2) / 0.4));  // the cited passage's, not the best one's
  CHECK(r.parts.support == 1);
  CHECK(r.parts.certainty == Approx(std::exp(-0.5)));
  CHECK(r.confidence == Approx(std::cbrt(0.25 * 1 * std::exp(-0.5))));
  CHECK(r.timings.decode_rate() == Approx(40));
  auto const j = json_of(r);
  for (auto const* key : {"question", "answer", "passages", "citations", "confidence", "abstained", "timings"}) CHECK(j.contains(key));
  CHECK(j["citations"][0]["id"] == "doc-WACC");
  CHECK(j["passages"].size() == 3);
  auto const invented = answer([](rag_prompt const&) { return generated_text{.text = "Zebras gallop quickly."}; }, "What is WACC here?", three);
  CHECK(invented.parts.support == 0);
  CHECK(invented.confidence == 0);
}

TEST_CASE("it abstains: nothing near, a refusal, an empty answer; the model is not asked where nothing is near") {
  int asked = 0;
  auto const generator = [&](std::string text) { return [&asked, text](rag_prompt const&) { return ++asked, generated_text{.text = text}; }; };
  std::vector<passage> far{three[0]};
  far[0].similarity = 0.1f;
  auto const unasked = answer(generator("x"), "Who is on call?", far);
  CHECK(unasked.abstained);
  CHECK(unasked.answer == "The passages do not say.");
  CHECK(unasked.confidence == 0);
  CHECK(answer(generator("x"), "Who is on call?", {}).abstained);
  CHECK(asked == 0);
  for (std::string text : {"The passages do not say.", " the passages DON'T hold it", "I don't know.", "", "  \n"}) CHECK(answer(generator(text), "Q?", three).abstained);
  CHECK(asked == 5);
  CHECK_FALSE(answer(generator("The passages say 8.4%."), "Q?", three).abstained);
}

}  // namespace
}  // namespace smalti
