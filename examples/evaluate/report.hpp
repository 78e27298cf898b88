#pragma once
// A run as one HTML file that needs nothing else (plots are SVG inside it), and as a table for the terminal.

#include <string>
#include "summary.hpp"
#include "../common/terminal.hpp"

namespace evaluation {

using examples::print;

/// Text for HTML: answers are a model's, and may hold anything.
inline std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

/// "0.512 [0.43, 0.60]", or a dash for a metric that does not apply.
inline std::string cell(json const& group, char const* metric, bool with_interval = true) {
  auto const at = group.find(metric);
  if (at == group.end() || at->is_null()) return "–";
  if (at->is_number()) return print("%.3f", at->get<double>());
  std::string const value = print("%.3f", (*at)["value"].get<double>());
  return with_interval ? value + print(" [%.2f, %.2f]", (*at)["low"].get<double>(), (*at)["high"].get<double>()) : value;
}

/// What a table shows of a group, with the headings.
inline constexpr struct { char const* metric; char const* heading; } columns[] = {
    {"correct", "right"}, {"f1", "text F1"}, {"exact_match", "exact"}, {"rouge_l", "ROUGE-L"}, {"bleu", "BLEU-4"}, {"numeric", "numeric"}, {"execution", "execution"},
    {"citation_precision", "cites rightly"}, {"declined", "declined"}};

/// Lines of at most some 120 columns; the interval stands with the first metric.
inline std::string text_table(json const& result) {
  std::string out = print("%-14s %5s  %-22s", "", "count", "right [95 %]");
  for (std::size_t i = 1; i < std::size(columns); ++i) out += print(" %9s", std::string(columns[i].heading).substr(0, 9).c_str());
  out += '\n';
  for (auto const& g : result.at("groups")) {
    out += print("%-14s %5d  %-22s", g["name"].get<std::string>().c_str(), g["questions"].get<int>(), cell(g, "correct").c_str());
    for (std::size_t i = 1; i < std::size(columns); ++i) {
      auto const value = cell(g, columns[i].metric, false);
      out += std::string(value == "–" ? 9 : 10 - value.size(), ' ') + value;
    }
    out += '\n';
  }
  if (auto const at = result.find("retrieval"); at != result.end() && at->is_object()) {
    out += print("\n%-14s %9s %9s %9s %9s %9s %9s\n", "retrieval", "hit@1", "hit@5", "hit@10", "recall@5", "MRR", "nDCG@10");
    for (auto const& [name, r] : at->items())
      out += print("%-14s %9s %9s %9s %9s %9s %9s\n", name.c_str(), cell(r, "hit@1", false).c_str(), cell(r, "hit@5", false).c_str(), cell(r, "hit@10", false).c_str(),
                   cell(r, "recall@5", false).c_str(), cell(r, "mrr", false).c_str(), cell(r, "ndcg@10", false).c_str());
  }
  return out;
}

namespace detail {
/// A horizontal bar for each group, with its interval as a line.
inline std::string bars_svg(json const& groups, char const* metric) {
  std::string marks;
  int row = 0;
  for (auto const& g : groups) {
    if (!g.contains(metric) || g[metric].is_null()) continue;
    auto const& m = g[metric];
    double const v = m["value"], low = m["low"], high = m["high"];
    int const y = 26 * row++;
    marks += print("<text x='118' y='%d' text-anchor='end'>%s</text><rect class='bar' x='126' y='%d' width='%.1f' height='16'/>", y + 15, escaped(g["name"].get<std::string>().substr(0, 40)).c_str(), y + 3, 400 * v);
    marks += print("<path class='line' d='M%.1f %dH%.1f'/><text x='%.1f' y='%d'>%.2f</text>", 126 + 400 * low, y + 11, 126 + 400 * high, 134 + 400 * std::max(v, high), y + 15, v);
  }
  return print("<svg viewBox='0 0 600 %d' width='600'>", 26 * row + 4) + marks + "</svg>";
}

/// hit@1 … hit@10 of each ranking.
inline std::string curves_svg(json const& retrieval) {
  std::string marks, names;
  char const* const colours[] = {"#4477aa", "#ee6677", "#228833", "#999999"};
  int i = 0;
  for (int t = 0; t <= 10; t += 2) marks += print("<path class='grid' d='M40 %dH440'/><text x='34' y='%d' text-anchor='end'>%.1f</text>", 220 - 20 * t, 224 - 20 * t, t / 10.);
  for (auto const& [name, r] : retrieval.items()) {
    std::string points;
    for (int k = 1; k <= int(r["hits"].size()); ++k) points += print("%s%d %.1f", k == 1 ? "M" : "L", 40 * k + 20, 220 - 200 * r["hits"][std::size_t(k - 1)].get<double>());
    marks += "<path fill='none' stroke-width='2' stroke='" + std::string(colours[i % 4]) + (name == "hnsw" ? "' stroke-dasharray='5 5" : "") + "' d='" + points + "'/>";
    names += print("<text x='460' y='%d' fill='%s' style='fill:%s'>%s</text>", 40 + 20 * i, colours[i % 4], colours[i % 4], escaped(name).c_str()), ++i;
  }
  for (int k = 1; k <= 10; ++k) marks += print("<text x='%d' y='240' text-anchor='middle'>%d</text>", 40 * k + 20, k);
  return "<svg viewBox='0 0 560 250' width='560'>" + marks + names + "</svg>";
}

/// Of the answered questions, in five bins of confidence: the share that is right. On the diagonal it would be a probability.
inline std::string confidence_svg(json const& answers) {
  int count[5] = {}, right[5] = {};
  for (auto const& a : answers) {
    if (a["abstained"].get<bool>() || a["kind"] == "unanswerable") continue;
    int const bin = std::clamp(int(a["confidence"].get<double>() * 5), 0, 4);
    ++count[bin], right[bin] += a["correct"].get<bool>();
  }
  std::string marks = "<path class='grid' d='M40 220L440 20'/>";
  for (int b = 0; b < 5; ++b) {
    double const share = count[b] ? double(right[b]) / count[b] : 0;
    marks += print("<rect class='bar' x='%d' y='%.1f' width='60' height='%.1f'/><text x='%d' y='238' text-anchor='middle'>%.1f–%.1f</text>", 50 + 80 * b, 220 - 200 * share, 200 * share, 80 + 80 * b, b / 5., (b + 1) / 5.);
    marks += print("<text x='%d' y='%.1f' text-anchor='middle'>%d of %d</text>", 80 + 80 * b, 214 - 200 * share, right[b], count[b]);
  }
  return "<svg viewBox='0 0 480 250' width='480'>" + marks + "</svg>";
}
}  // namespace detail

/// The page. Follows the reader's light or dark scheme; nothing is fetched.
inline std::string html_report(json const& result) {
  std::string out = R"(<!doctype html><html lang="en"><meta charset="utf-8"><title>smalti evaluation</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .6rem;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}
svg{max-width:100%;height:auto}svg text{font-size:12px;fill:#222}.bar{fill:#4477aa}.line{stroke:#222;stroke-width:2}.grid{stroke:#ccc}pre{white-space:pre-wrap;margin:0;font-size:13px}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}svg text{fill:#ddd}.line{stroke:#ddd}.grid,td,th{stroke:#444;border-color:#444}}
</style><h1>Evaluation</h1>)";
  auto const section = [&](std::string const& title, std::string const& body) { out += "<h2>" + title + "</h2>" + body; };
  std::string rows;
  for (auto const& [key, value] : result.at("settings").items()) rows += "<tr><th>" + escaped(key) + "<td>" + escaped(value.is_string() ? value.get<std::string>() : value.dump());
  section("Settings", "<table>" + rows + "</table>");
  std::string head = "<tr><th><th>questions";
  for (auto const& c : columns) head += std::string("<th>") + c.heading;
  rows.clear();
  for (auto const& g : result.at("groups")) {
    rows += "<tr><th>" + escaped(g["name"].get<std::string>()) + "<td>" + std::to_string(g["questions"].get<int>());
    for (auto const& c : columns) rows += "<td>" + cell(g, c.metric);
  }
  section("Scores", "<p>Means with 95 % bootstrap intervals. “right”: text answers hold an accepted answer word for word or reach F1 ½; numbers, code and declining are right or not.</p><table>" + head + rows + "</table>");
  section("Right answers", detail::bars_svg(result["groups"], "correct"));
  auto const& a = result["groups"][0]["abstention"];
  section("Declining", print("<p>Declined %d questions that the documents do not answer and %d that they do; answered %d that they do not. Precision %.2f, recall %.2f, F1 %.2f.</p>", a["declined_rightly"].get<int>(),
                             a["declined_wrongly"].get<int>(), a["answered_wrongly"].get<int>(), a["precision"].get<double>(), a["recall"].get<double>(), a["f1"].get<double>()));
  if (result.contains("retrieval") && result["retrieval"].is_object()) {
    rows = "<tr><th>ranking<th>hit@1<th>hit@5<th>recall@5<th>MRR<th>nDCG@10";
    for (auto const& [name, r] : result["retrieval"].items()) {
      rows += "<tr><th>" + escaped(name);
      for (auto m : {"hit@1", "hit@5", "recall@5", "mrr", "ndcg@10"}) rows += "<td>" + cell(r, m);
    }
    section("Retrieval", "<p>Share of the questions with one of their documents among the first k different ones.</p>" + detail::curves_svg(result["retrieval"]) + "<table>" + rows + "</table>");
  }
  section("Confidence and being right", detail::confidence_svg(result["answers"]));
  rows = "<tr><th>question<th>expected<th>answer<th>why";
  for (auto const& f : result["failures"]) {
    auto const text = [&](char const* name) { return f[name].is_string() ? "<pre>" + escaped(f[name].get<std::string>()) + "</pre>" : std::string("<em>to decline</em>"); };
    rows += "<tr><td><b>" + escaped(f["id"].get<std::string>()) + "</b> " + escaped(f["question"].get<std::string>()) + "<td>" + text("expected") + "<td>" + text("answer") + "<td>" + escaped(f["why"].get<std::string>());
  }
  section("Failures (" + std::to_string(result["failures"].size()) + ")", "<details open><summary>all</summary><table>" + rows + "</table></details>");
  return out + "</html>\n";
}

}  // namespace evaluation
