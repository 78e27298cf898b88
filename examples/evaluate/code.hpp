#pragma once
// Answers that are programs: taken out of the text, and right if they do what was asked (Chen et al. 2021, arXiv:2107.03374, functional
// correctness): SQL by the rows it gives in SQLite, Python by tests.

#include <filesystem>
#include <nlohmann/json.hpp>
#include "metrics.hpp"
#include "sandbox.hpp"

namespace evaluation {

/// The program in an answer: its first fenced block, or all of it without citation marks.
inline std::string code_of(std::string_view answer) {
  auto const fence = answer.find("```");
  if (fence == std::string_view::npos) return without_citations(answer);
  auto const begin = answer.find('\n', fence);
  if (begin == std::string_view::npos) return {};
  auto const end = answer.find("\n```", begin);
  return std::string(answer.substr(begin + 1, end == std::string_view::npos ? end : end - begin - 1));
}

/// Python without a launcher around it, which could not start it: children are refused.
inline std::string python_program() {
  for (char const* path : {"/usr/bin/python3", "/usr/local/bin/python3"})
    if (::access(path, X_OK) == 0) return path;
  return {};
}

struct code_result {
  bool run = false, passed = false;  ///< run: it was executed, whatever came of it
  std::string why = {};
};

namespace detail {
/// One script: the setup, then the answer. Writes the rows of the last statement that returned any, as JSON: columns joined by |, NULL as NULL, of
/// a query plan only the detail column. Other databases may not be attached: that would be a file.
inline constexpr char const* sql_runner = R"py(
import json, re, sqlite3, sys
script = json.load(sys.stdin)
connection = sqlite3.connect(":memory:", isolation_level=None)
connection.execute("PRAGMA temp_store = MEMORY")
denied = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in denied else sqlite3.SQLITE_OK)
rows, statement = None, ""
def execute(statement):
    global rows
    cursor = connection.execute(statement)
    found = cursor.fetchmany(10001)
    if len(found) > 10000: sys.exit("more than 10000 rows")
    if cursor.description:
        plan = re.match(r"\s*EXPLAIN QUERY PLAN\b", statement, re.I)
        rows = [row[3:] if plan else row for row in found]
try:
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            execute(statement)
            statement = ""
    if re.sub(r"--.*", "", statement).strip():
        execute(statement)
except sqlite3.Error as error:
    sys.exit(f"SQLite: {error}")
if rows is None:
    sys.exit("no statement returned rows")
print(json.dumps(["|".join("NULL" if v is None else str(v) for v in row) for row in rows]))
)py";
}  // namespace detail

/// Whether the last rows of setup + code are the expected ones, in their order.
inline code_result check_sql(std::string const& setup, std::string const& code, std::vector<std::string> const& expected, containment const& limits = {}) {
  using nlohmann::json;
  auto const python = python_program();
  if (python.empty()) return {false, false, "not run: no python3 in /usr/bin or /usr/local/bin"};
  auto const script = json(setup + "\n" + code).dump(-1, ' ', false, json::error_handler_t::replace);
  auto const done = run_contained({python, "-B", "-s", "-c", detail::sql_runner}, script, limits);
  if (!done.succeeded()) return {done.contained, false, done.summary()};
  auto const found = json::parse(done.out, nullptr, false);
  if (found == json(expected)) return {true, true, "done"};
  return {true, false, "expected " + json(expected).dump().substr(0, 200) + ", found " + done.out.substr(0, done.out.find('\n')).substr(0, 200)};
}

/// Whether the code, followed by the tests, runs to its end. A word printed behind the tests tells the end from an early exit.
inline code_result check_python(std::string const& code, std::string const& tests, containment const& limits = {}) {
  auto const python = python_program();
  if (python.empty()) return {false, false, "not run: no python3 in /usr/bin or /usr/local/bin"};
  std::string const word = "tests passed " + std::to_string(std::hash<std::string>{}(tests) % 1000000007u);
  std::string const source = code + "\n" + tests + "\nprint('\\n" + word + "')\n";
  if (source.size() > 100000 || source.find('\0') != std::string::npos) return {true, false, "not a program: too long, or a zero byte in it"};
  auto const done = run_contained({python, "-B", "-s", "-c", source}, {}, limits);
  if (!done.succeeded()) return {done.contained, false, done.summary()};
  bool const passed = done.out.ends_with("\n" + word + "\n");
  return {true, passed, passed ? "done" : "ended before the tests did"};
}

}  // namespace evaluation
