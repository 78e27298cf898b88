// Generated code is contained: what loops, forks, writes, floods, allocates or calls out is stopped, and the report says by what.
#include <catch2/catch.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include "../../examples/evaluate/code.hpp"

namespace evaluation {
namespace {

execution python(std::string const& source, containment const& limits = {}) { return run_contained({python_program(), "-B", "-s", "-c", source}, {}, limits); }
bool has(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

TEST_CASE("an honest program runs, with its input and its two outputs") {
  REQUIRE_FALSE(python_program().empty());
  auto const done = run_contained({python_program(), "-B", "-s", "-c", "import sys, os; print(sys.stdin.read()); print('e', file=sys.stderr); print(os.listdir('.'), len(os.environ)); sys.exit(3)"}, "some input");
  INFO(done.err);
  CHECK(done.contained);
  CHECK(done.status == 3);
  CHECK(done.out == "some input\n[] 4\n");  // an empty folder, and none of the evaluator's environment
  CHECK(done.err == "e\n");
  CHECK(done.summary() == "exit 3: e");
  CHECK(python("print(1)").succeeded());
}

TEST_CASE("what needs threads, an event loop or SQLite in memory works") {
  auto const done = python("import asyncio, threading, sqlite3\n"
                           "async def f(): await asyncio.sleep(0.01); return 7\n"
                           "print(asyncio.run(f()))\n"
                           "t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()\n"
                           "print(sqlite3.connect(':memory:').execute('select 1').fetchone())\n");
  INFO(done.err);
  CHECK(done.out == "7\nthread\n(1,)\n");
}

TEST_CASE("a loop is ended by its CPU time, a sleeper by the clock") {
  auto const loop = python("while True: pass", {.cpu_seconds = 1});
  CHECK_FALSE(loop.succeeded());
  CHECK(loop.summary() == "killed: used up its CPU time");
  CHECK(loop.cpu_seconds < 3);
  auto const stubborn = python("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", {.cpu_seconds = 1});
  CHECK(stubborn.signal == SIGKILL);
  auto const sleeper = python("import time; time.sleep(60)", {.wall_seconds = 0.5});
  CHECK(sleeper.timed_out);
  CHECK(sleeper.wall_seconds < 10);
  CHECK(sleeper.summary() == "killed: ran past its time");
  auto const silent = python("import os, time; os.close(1); os.close(2); time.sleep(60)", {.wall_seconds = 0.5});
  CHECK(silent.timed_out);
}

TEST_CASE("a fork bomb does not get its first child") {
  for (std::string way : {"os.fork()", "os.posix_spawn('/bin/true', ['true'], {})", "subprocess.run(['true'])", "multiprocessing.get_context('fork').Process(target=print).start()"}) {
    INFO(way);
    auto const done = python("import os, subprocess, multiprocessing\ntry:\n  " + way + "\n  print('made')\nexcept OSError as e:\n  print('refused')");
    CHECK(has(done.out, "refused"));
    CHECK_FALSE(has(done.out, "made"));
  }
  auto const bomb = python("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", {.cpu_seconds = 1});
  CHECK(bomb.summary() == "killed: used up its CPU time");
}

TEST_CASE("no file is written, made, renamed or removed") {
  auto const folder = std::filesystem::temp_directory_path();
  std::string const kept = (folder / "smalti-sandbox-test-kept").string(), made = (folder / "smalti-sandbox-test-made").string();
  std::ofstream(kept) << "kept";
  std::filesystem::permissions(kept, std::filesystem::perms::all), std::filesystem::remove(made);
  for (std::string way : {"open('" + made + "', 'w')", "open('" + kept + "', 'a')", "open('" + kept + "', 'r+')", std::string("open('here', 'x')"), "os.remove('" + kept + "')", "os.rename('" + kept + "', '" + made + "')",
                          "os.mkdir('" + made + "')", "os.symlink('x', '" + made + "')", "os.truncate('" + kept + "', 0)", "os.chmod('" + kept + "', 0)", std::string("tempfile.TemporaryFile()"),
                          "sqlite3.connect('" + made + "').execute('create table t (a)')"}) {
    INFO(way);
    auto const done = python("import os, tempfile, sqlite3\ntry:\n  " + way + "\n  print('done')\nexcept (OSError, sqlite3.Error) as e:\n  print('refused')");
    CHECK(done.out == "refused\n");
    CHECK_FALSE(std::filesystem::exists(made));
  }
  std::ifstream in(kept);
  std::string text;
  in >> text;
  CHECK(text == "kept");
  std::filesystem::remove(kept);
}

TEST_CASE("no network, and no signals to others") {
  for (std::string way : {"socket.socket()", "socket.create_connection(('127.0.0.1', 80), 1)", "socket.socket(socket.AF_UNIX)", "os.kill(os.getppid(), 9)", "os.kill(-1, 15)", "os.setsid()"}) {
    INFO(way);
    CHECK(python("import os, socket\ntry:\n  " + way + "\n  print('done')\nexcept OSError as e:\n  print('refused')").out == "refused\n");
  }
}

TEST_CASE("memory and output are bounded") {
  auto const hog = python("a = [bytearray(1 << 24) for _ in range(1000)]", {.memory = std::size_t(256) << 20});
  CHECK(has(hog.err, "MemoryError"));
  auto const flood = python("while True: print('x' * 1000)", {.output = 10000});
  CHECK(flood.cut);
  CHECK(flood.out.size() == 10000);
  CHECK(flood.summary() == "killed: more output than allowed");
  CHECK(python("import sys\nsys.stderr.write('y' * 100000)", {.output = 5000}).err.size() == 5000);
}

TEST_CASE("a crash and a missing program are told apart") {
  CHECK(python("import os; os.abort()").summary() == "killed by signal 6");
  auto const none = run_contained({"/no/such/program"});
  CHECK_FALSE(none.contained);
  CHECK(has(none.summary(), "not run: the program cannot be started: No such file"));
}

TEST_CASE("SQL is right by its rows") {
  std::string const setup = "CREATE TABLE t (a INTEGER, b TEXT);\nINSERT INTO t VALUES (1,'x'),(2,NULL);";
  CHECK(check_sql(setup, "SELECT a, b FROM t ORDER BY a;", {"1|x", "2|NULL"}).passed);
  CHECK(check_sql(setup, "SELECT a, b FROM t ORDER BY a", {"1|x", "2|NULL"}).passed);  // the last semicolon may be missing
  auto const wrong = check_sql(setup, "SELECT a FROM t ORDER BY a DESC;", {"1", "2"});
  CHECK((wrong.run && !wrong.passed));
  CHECK(has(wrong.why, R"(found ["2", "1"])"));
  CHECK(has(check_sql(setup, "SELEC a", {"1"}).why, "SQLite: "));
  CHECK(has(check_sql(setup, "DROP TABLE t;", {}).why, "no statement returned rows"));
  CHECK(check_sql(setup, "SELECT a FROM t WHERE 0;", {}).passed);
  CHECK(has(check_sql(setup, "ATTACH '/tmp/smalti-attached' AS f;", {}).why, "not authorized"));
  auto const endless = check_sql(setup, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;", {"1"}, {.cpu_seconds = 1});
  CHECK(endless.why == "killed: used up its CPU time");
  CHECK(has(check_sql(setup, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;", {"1"}).why, "more than 10000 rows"));
}

TEST_CASE("Python is right by its tests, and not by leaving early") {
  CHECK(check_python("def f(x):\n    return 2 * x", "assert f(3) == 6").passed);
  CHECK(has(check_python("def f(x):\n    return x", "assert f(3) == 6").why, "AssertionError"));
  CHECK(has(check_python("Doubling is easy.", "assert f(3) == 6").why, "SyntaxError"));
  CHECK(check_python("import sys; sys.exit(0)", "assert f(3) == 6").why == "ended before the tests did");
  CHECK_FALSE(check_python("import os; os._exit(0)", "assert False").passed);
  CHECK_FALSE(check_python(std::string("x\0y", 3), "assert True").passed);
}

TEST_CASE("code is taken from a fence, else the answer is the code") {
  CHECK(code_of("Use this:\n```sql\nSELECT 1;\n```\nand nothing else. [2]") == "SELECT 1;");
  CHECK(code_of("```python\na = [1]\nb = a[0]") == "a = [1]\nb = a[0]");
  CHECK(code_of("x = a[1] [3]") == "x = a[1]");
  CHECK(code_of("```") == "");
}

}  // namespace
}  // namespace evaluation
