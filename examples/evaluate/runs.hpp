#pragma once
// Two finished runs on one question set, compared question by question: what the second gains, and whether that may be chance.

#include <map>
#include <string>
#include <vector>
#include "report.hpp"
#include "statistics.hpp"

namespace evaluation {

/// What a result.json holds of each question, by id.
struct finished_run {
  std::string file;
  std::map<std::string, json> answers;
  json settings;
};

/// Throws io.1, io.3, io.4, std::runtime_error: a file that is none of ours, or an id twice.
inline finished_run load_run(std::string const& file) {
  json const j = smalti::read_json(file);
  if (smalti::field<std::string>(j, file, "format") != "smalti evaluation 1") throw std::runtime_error(file + ": expected the result.json of an evaluation, format \"smalti evaluation 1\"");
  finished_run r{file, {}, smalti::field<json>(j, file, "settings")};
  for (auto const& a : smalti::field<std::vector<json>>(j, file, "answers")) {
    auto const id = smalti::field<std::string>(a, file, "id");
    // Checked here, so that what follows may take them for granted.
    (void)smalti::field<double>(a, file, "score"), (void)smalti::field<bool>(a, file, "correct");
    (void)smalti::field<std::string>(a, file, "category"), (void)smalti::field<std::string>(a, file, "kind");
    if (!r.answers.emplace(id, a).second) throw std::runtime_error(file + ": answers: expected each id once, found \"" + id + "\" again");
  }
  return r;
}

struct run_comparison {
  json groups = json::array();
  std::string table = {};
  int common = 0;  ///< questions that both answered; only these are compared
};

/// For all questions, each category and each kind: the difference of scores with its interval and p, and McNemar's test of what is right. Throws
/// std::runtime_error for runs of different question sets, or without a question in common.
inline run_comparison compare_runs(finished_run const& a, finished_run const& b, resampling how) {
  if (a.settings.value("questions", "") != b.settings.value("questions", "")) throw std::runtime_error(b.file + ": expected the question set of " + a.file + ", found another");
  std::map<std::string, std::vector<std::string>> groups;  // of ids
  for (auto const& [id, x] : a.answers)
    if (b.answers.contains(id)) {
      groups["all"].push_back(id), groups[x["kind"]].push_back(id);
      if (x["kind"] != "unanswerable") groups[x["category"]].push_back(id);
    }
  if (groups.empty()) throw std::runtime_error(b.file + ": expected questions of " + a.file + ", found none of them");
  std::vector<std::string> order{"all"};
  for (auto const& [name, ids] : groups)
    if (name != "all") order.push_back(name);
  run_comparison out;
  out.common = int(groups["all"].size());
  out.table = print("%-14s %5s %8s %8s  %-26s %8s   %s\n", "", "count", "A", "B", "B - A [95 %]", "p", "right only in A, in B, p (McNemar)");
  for (auto const& name : order) {
    std::vector<double> x, y;
    int only_a = 0, only_b = 0;
    for (auto const& id : groups[name]) {
      auto const &p = a.answers.at(id), &q = b.answers.at(id);
      x.push_back(p["score"]), y.push_back(q["score"]);
      bool const ra = p["correct"], rb = q["correct"];
      only_a += ra && !rb, only_b += rb && !ra;
    }
    auto const c = compare_paired(x, y, how);
    double const m = mcnemar(only_a, only_b);
    out.groups.push_back({{"name", name}, {"questions", x.size()}, {"a", rounded(mean(x))}, {"b", rounded(mean(y))}, {"difference", json_of(c.difference)}, {"p", c.p}, {"only_a", only_a},
                          {"only_b", only_b}, {"mcnemar_p", m}});
    auto const interval = print("%+.3f [%+.3f, %+.3f]", c.difference.value, c.difference.low, c.difference.high);
    out.table += print("%-14s %5zu %8.3f %8.3f  %-26s %8.2g   %d, %d, %.2g\n", name.c_str(), x.size(), mean(x), mean(y), interval.c_str(), c.p, only_a, only_b, m);
  }
  return out;
}

}  // namespace evaluation
