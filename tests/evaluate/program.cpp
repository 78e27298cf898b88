// The program from outside: equal runs are equal, a killed one goes on, what does not fit together is refused, and a server is a model, too.
#include "../examples/programs.hpp"

namespace examples_test {
namespace {

using words = std::vector<std::string>;

bool ready() {
  if (fs::exists(programs() / "evaluate")) return true;
  std::cerr << "\n*** SKIPPED: no example program evaluate in " << programs() << " ***\n\n";
  return false;
}

/// Short questions: the little model reads characters, and 128 of them.
std::string question_set(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    json q = {{"id", "q" + std::to_string(i)}, {"category", i % 2 ? "odd" : "even"}, {"question", "No. " + std::to_string(i) + "?"}, {"answer", "yes"}, {"kind", "text"}, {"alternatives", json::array()}, {"documents", {"d"}}};
    if (i % 5 == 1) q["kind"] = "numeric", q["answer"] = std::to_string(i), q["tolerance"] = 0.5, q["unit"] = "pages";
    if (i % 5 == 2) q["kind"] = "code", q["language"] = "sql", q["expected"] = {"1"}, q["answer"] = "SELECT 1;";
    if (i % 5 == 3) q["answer"] = nullptr, q["documents"] = json::array();
    text += q.dump() + "\n";
  }
  return text;
}

struct bench {
  folder at;
  bench(int count = 12) {
    make_model(at.path / "model");
    write(at.path / "set.jsonl", question_set(count));
  }
  words arguments(char const* out, words more = {}) const {
    words all{"--model", at / "model", "--questions", at / "set.jsonl", "--no-passages", "--system", "A", "--max-tokens", "8", "--threads", "1", "--out", at / out};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  json result(char const* out) const {
    auto j = json::parse(read(at.path / out / "result.json"));
    j.erase("timing");
    return j;
  }
};

TEST_CASE("a run writes its result and report, and the same again gives the same") {
  if (!ready()) return;
  bench const b;
  auto const first = run("evaluate", b.arguments("one"));
  INFO(first.err);
  REQUIRE(first.status == 0);
  CHECK(has(first.out, "unanswerable"));
  auto const r = b.result("one");
  CHECK(r["answers"].size() == 12);
  CHECK(r["groups"][0]["name"] == "all");
  CHECK(r["groups"][0]["questions"] == 12);
  CHECK(r["retrieval"].is_null());
  auto const html = read(b.at.path / "one" / "report.html");
  CHECK((html.starts_with("<!doctype html>") && html.ends_with("</html>\n") && has(html, "<svg") && !has(html, "src=")));
  REQUIRE(run("evaluate", b.arguments("two")).status == 0);
  CHECK(b.result("two") == r);
  // A finished run is not asked again; a part of it is evaluated from the same journal.
  auto const again = run("evaluate", b.arguments("one", {"--only", "odd", "--limit", "3"}));
  CHECK(again.status == 0);
  CHECK(has(again.err, "3 of 3 questions were answered before"));
  CHECK(b.result("one")["answers"].size() == 3);
  // Questions of some kinds, and answers that may not decline: another run, and none of them an empty one.
  auto const forced = run("evaluate", b.arguments("forced", {"--forced", "--kind", "text", "--kind", "unanswerable"}));
  INFO(forced.err);
  REQUIRE(forced.status == 0);
  auto const f = b.result("forced");
  CHECK(f["settings"]["forced"] == true);
  for (auto const& a : f["answers"]) CHECK((a["kind"] == "text" || a["kind"] == "unanswerable"));
  CHECK(run("evaluate", b.arguments("forced")).status != 0);
}

TEST_CASE("a run that is killed goes on, wherever it was, and ends as if it had not been") {
  if (!ready()) return;
  bench const b(60);
  REQUIRE(run("evaluate", b.arguments("whole")).status == 0);
  auto const whole = b.result("whole");
  int kills = 0, status = 1;
  for (double seconds = 0.02; status != 0 && seconds < 60; seconds *= 1.5) {
    std::string command = "timeout -s KILL " + std::to_string(seconds) + ' ' + quoted((programs() / "evaluate").string());
    for (auto const& w : b.arguments("killed")) command += ' ' + quoted(w);
    status = std::system((command + " >/dev/null 2>&1").c_str());
    kills += status != 0;
  }
  CHECK(status == 0);
  CHECK(kills > 0);
  CHECK(b.result("killed") == whole);
  // Cut at any byte, as a full disk or a crash of the machine may: what is whole is kept.
  auto const journal = read(b.at.path / "whole" / "journal.jsonl");
  for (std::size_t cut : {std::size_t(0), std::size_t(10), journal.size() / 3, journal.size() / 2 + 1, journal.size() - 1}) {
    INFO(cut);
    fs::create_directories(b.at.path / "cut");
    write(b.at.path / "cut" / "journal.jsonl", journal.substr(0, cut));
    auto const o = run("evaluate", b.arguments("cut"));
    INFO(o.err);
    CHECK(o.status == 0);
    CHECK(b.result("cut") == whole);
  }
}

TEST_CASE("a journal of other settings, or a damaged one, is refused and left alone") {
  if (!ready()) return;
  bench const b;
  REQUIRE(run("evaluate", b.arguments("one", {"--limit", "2"})).status == 0);
  auto const kept = read(b.at.path / "one" / "journal.jsonl");
  auto other = b.arguments("one");
  std::replace(other.begin(), other.end(), std::string("8"), std::string("9"));
  auto const o = run("evaluate", other);
  CHECK(o.status == 1);
  CHECK(has(o.err, "journal.jsonl:1: this run was made with other settings"));
  CHECK(has(o.err, "max_tokens: found 8, expected 9"));
  CHECK(read(b.at.path / "one" / "journal.jsonl") == kept);
  other.push_back("--restart");
  CHECK(run("evaluate", other).status == 0);
  write(b.at.path / "set.jsonl", question_set(11));
  CHECK(has(run("evaluate", {other.begin(), other.end() - 1}).err, "questions: found"));
  write(b.at.path / "one" / "journal.jsonl", kept + "nonsense\n");
  write(b.at.path / "set.jsonl", question_set(12));
  auto const damaged = run("evaluate", b.arguments("one"));
  CHECK(damaged.status == 1);
  CHECK(has(damaged.err, "journal.jsonl:4: expected a recorded answer"));
}

TEST_CASE("bad sets, and a tokenizer that disagrees with its model, are refused before anything is written") {
  if (!ready()) return;
  bench const b;
  write(b.at.path / "set.jsonl", question_set(2) + "{\"id\": 3\n" + question_set(1));
  auto const bad = run("evaluate", b.arguments("bad"));
  CHECK(bad.status == 1);
  CHECK(has(bad.err, "set.jsonl:3"));
  CHECK(has(bad.err, "set.jsonl:4: expected an id of its own"));
  CHECK_FALSE(fs::exists(b.at.path / "bad"));
  write(b.at.path / "set.jsonl", "");
  CHECK(has(run("evaluate", b.arguments("bad")).err, "found none"));
  write(b.at.path / "set.jsonl", question_set(2));
  CHECK(has(run("evaluate", b.arguments("bad", {"--only", "finance"})).err, "expected questions of the category"));
  auto tokenizer = json::parse(read(b.at.path / "model" / "tokenizer.json"));
  tokenizer["added_tokens"].push_back({{"id", 331}, {"content", "<more>"}, {"special", true}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  write(b.at.path / "model" / "tokenizer.json", tokenizer.dump());
  auto const o = run("evaluate", b.arguments("bad"));
  CHECK(o.status == 1);
  CHECK(has(o.err, "model.28"));
  CHECK_FALSE(fs::exists(b.at.path / "bad" / "result.json"));
}

TEST_CASE("wrong usage is status 2; --help tells all") {
  if (!ready()) return;
  bench const b;
  for (auto const& w : std::vector<words>{{}, {"--questions", "x", "--out", "y"}, b.arguments("o", {"--oracle-passages"}), b.arguments("o", {"--wrong-passages"}), b.arguments("o", {"--kind", "prose"}), b.arguments("o", {"--url", "http://localhost:1/v1", "--url-model", "m"}), b.arguments("o", {"--limit", "-1"}),
                                          {"--model", "m", "--questions", "x", "--out", "y"}, {"compare", "one"}, {"models", "a", "b"}, b.arguments("o", {"--retrieval", "magic"})})
    CHECK(run("evaluate", w).status == 2);
  for (auto const& w : std::vector<words>{{"--help"}, {"compare", "--help"}, {"models", "--help"}}) {
    auto const o = run("evaluate", w);
    CHECK(o.status == 0);
    CHECK(has(o.out, "Exit status: 0 done; 1 failed"));
  }
  CHECK(run("evaluate", {"--model", "no/such/model", "--no-passages", "--questions", b.at / "set.jsonl", "--out", b.at / "o"}).status == 1);
}

TEST_CASE("documents: rankings are measured, passages given, and a question about a document that is not there is refused") {
  char const* const named = std::getenv("SMALTI_MINILM");
  std::string const encoder = named ? named : ".cache/models/all-MiniLM-L6-v2";
  if (!ready()) return;
  if (!fs::exists(encoder + "/model.safetensors")) {
    std::cerr << "\n*** SKIPPED: no all-MiniLM-L6-v2 in .cache/models or $SMALTI_MINILM; run script/setup ***\n\n";
    return;
  }
  bench const b;
  fs::create_directories(b.at.path / "documents");
  for (auto const& [id, text] : std::vector<std::pair<std::string, std::string>>{{"cats", "Cats purr."}, {"ships", "Ships float on water."}, {"bread", "Bread is baked in an oven."}})
    write(b.at.path / "documents" / (id + ".md"), "---\nid: " + id + "\ntitle: " + id + "\n---\n" + text + "\n");
  auto const line = [](char const* id, char const* text, char const* document) {
    return json{{"id", id}, {"category", "c"}, {"question", text}, {"answer", "purr"}, {"kind", "text"}, {"documents", {document}}}.dump() + "\n";
  };
  write(b.at.path / "set.jsonl", line("a", "cats?", "cats") + line("b", "baked bread?", "bread") + R"({"id":"n","category":"c","question":"Mars?","answer":null,"kind":"text","documents":[]})");
  auto const ask = [&](char const* out, words more) {
    words w{"--model", b.at / "model", "--encoder", encoder, "--documents", b.at / "documents", "--index", b.at / "index", "--questions", b.at / "set.jsonl", "--system", "A", "--max-tokens", "8", "--out", b.at / out};
    w.insert(w.end(), more.begin(), more.end());
    return run("evaluate", w);
  };
  auto const o = ask("retrieved", {});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const r = b.result("retrieved");
  for (auto ranking : {"dense", "bm25", "fused", "hnsw"}) {
    INFO(ranking);
    CHECK(r["retrieval"][ranking]["hit@1"]["value"] == 1);
    CHECK(r["retrieval"][ranking]["mrr"]["n"] == 2);
  }
  auto const kept = fs::last_write_time(b.at.path / "index");
  CHECK(ask("oracle", {"--oracle-passages"}).status == 0);
  CHECK(fs::last_write_time(b.at.path / "index") == kept);  // nothing is embedded twice
  auto const lines = read(b.at.path / "oracle" / "journal.jsonl");
  CHECK(has(lines, "\"asked\":true"));
  CHECK_FALSE(has(lines, "\"asked\":false"));
  CHECK(has(ask("retrieved", {"--oracle-passages"}).err, "passages: found \"retrieved\", expected \"oracle\""));
  write(b.at.path / "set.jsonl", line("a", "cats?", "dogs"));
  auto const unknown = ask("unknown", {});
  CHECK(unknown.status == 1);
  CHECK(has(unknown.err, "set.jsonl:1: documents: expected ids of"));
}

TEST_CASE("two runs are compared question by question") {
  if (!ready()) return;
  bench const b;
  REQUIRE(run("evaluate", b.arguments("one")).status == 0);
  auto const file = (b.at.path / "one" / "result.json").string();
  auto better = json::parse(read(file));
  for (auto& a : better["answers"]) a["score"] = 1, a["correct"] = true;
  write(b.at.path / "better.json", better.dump());
  auto const same = run("evaluate", {"compare", file, file, "--json"});
  REQUIRE(same.status == 0);
  for (auto const& g : json::parse(same.out)["groups"]) CHECK((g["p"] == 1 && g["mcnemar_p"] == 1 && g["difference"]["value"] == 0));
  auto const o = run("evaluate", {"compare", file, b.at / "better.json", "--json"});
  auto const all = json::parse(o.out)["groups"][0];
  int const gained = all["only_b"];
  CHECK(all["only_a"] == 0);
  CHECK(all["mcnemar_p"].get<double>() == Approx(std::min(1., 2 * std::pow(0.5, gained))));
  CHECK(run("evaluate", {"compare", file, b.at / "model/config.json"}).status == 1);
  better["settings"]["questions"] = "another";
  write(b.at.path / "better.json", better.dump());
  CHECK(has(run("evaluate", {"compare", file, b.at / "better.json"}).err, "expected the question set of"));
}

TEST_CASE("two models: nothing lies between a model and itself, something between it and its rounding") {
  if (!ready()) return;
  bench const b;
  write(b.at.path / "text", "The quick brown fox jumps over the lazy dog, and so on, for quite a while, until the window has moved.\n");
  auto const models = [&](words more) {
    words w{"models", b.at / "model", b.at / "model", "--text", b.at / "text", "--window", "32", "--stride", "16", "--threads", "1", "--json"};
    w.insert(w.end(), more.begin(), more.end());
    return run("evaluate", w);
  };
  auto const same = models({});
  INFO(same.err);
  REQUIRE(same.status == 0);
  auto const j = json::parse(same.out);
  CHECK(j["kl"]["value"] == 0);
  CHECK(j["top1_agreement"] == 1);
  CHECK(j["tokens"] == 103 - 1);  // characters, the first as context
  CHECK(j["perplexity_a"] == j["perplexity_b"]);
  auto const alone = run("perplexity", {"--model", b.at / "model", "--text", b.at / "text", "--window", "32", "--stride", "16", "--json"});
  CHECK(json::parse(alone.out)["perplexity"].get<double>() == Approx(j["perplexity_a"].get<double>()).epsilon(1e-5));
  auto const rounded = json::parse(models({"--weights-b", "int8"}).out);
  CHECK(rounded["kl"]["value"].get<double>() > 0);
  make_model(b.at.path / "other", "qwen2");
  auto const other = run("evaluate", {"models", b.at / "model", b.at / "other", "--text", b.at / "text", "--window", "32", "--stride", "16"});
  auto const differ = json::parse(read(b.at.path / "model" / "config.json"))["vocab_size"] != json::parse(read(b.at.path / "other" / "config.json"))["vocab_size"];
  CHECK(other.status == (differ ? 1 : 0));
}

TEST_CASE("an OpenAI-compatible server is asked; one that refuses is reported") {
  if (!ready()) return;
  bench const b;
  write(b.at.path / "server.py", R"py(
import http.server, json, sys
class handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] != "echo" or self.path != "/v1/chat/completions": return self.send_error(404)
        assert body["temperature"] == 0 and body["messages"][0]["role"] == "system"
        text = "yes" if "?" in body["messages"][1]["content"] else "no"
        out = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(out))); self.end_headers(); self.wfile.write(out)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), handler)
open(sys.argv[1], "w").write(str(server.server_port) + "\n")
server.timeout = 20
for _ in range(40): server.handle_request()
)py");
  REQUIRE(std::system(("timeout 60 python3 " + quoted(b.at / "server.py") + ' ' + quoted(b.at / "port") + " >/dev/null 2>&1 & echo $! >" + quoted(b.at / "pid")).c_str()) == 0);
  std::string port;
  for (int i = 0; i < 200 && !port.ends_with('\n'); ++i) ::usleep(50000), port = read(b.at.path / "port");
  REQUIRE(port.ends_with('\n'));
  port.pop_back();
  auto const ask = [&](std::string const& model, char const* out) {
    return run("evaluate", {"--url", "http://127.0.0.1:" + port + "/v1", "--url-model", model, "--no-passages", "--questions", b.at / "set.jsonl", "--out", b.at / out, "--threads", "1"});
  };
  auto const o = ask("echo", "served");
  if (has(o.err, "built without cpp-httplib")) {
    std::cerr << "\n*** SKIPPED: evaluate was built without cpp-httplib ***\n\n";
  } else {
    INFO(o.err);
    CHECK(o.status == 0);
    for (auto const& g : b.result("served")["groups"])
      if (g["name"] == "text") CHECK(g["f1"]["value"] == 1);
    auto const refused = ask("none", "refused");
    CHECK(refused.status == 1);
    CHECK(has(refused.err, "status 404"));
  }
  (void)!std::system(("kill $(cat " + quoted(b.at / "pid") + ") 2>/dev/null").c_str());
  auto const strange = run("evaluate", {"--url", "ftp://x", "--url-model", "m", "--no-passages", "--questions", b.at / "set.jsonl", "--out", b.at / "o"});
  CHECK(strange.status == 1);
  CHECK(has(strange.err, "--url: "));
}

}  // namespace
}  // namespace examples_test
