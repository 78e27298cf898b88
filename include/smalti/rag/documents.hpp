#pragma once
// A folder of Markdown files as documents: a front matter of `name: value` lines between two lines of three dashes, then the
// text. The front matter is a small, strict part of YAML: anything else is an error with file and line.

#include <string>
#include <string_view>
#include <vector>
#include "../core/config.hpp"
#include "../retrieval/document.hpp"

namespace smalti {

namespace detail {
/// Without spaces, tabs and carriage returns at its ends.
std::string_view trimmed(std::string_view s);
/// Takes line after line, with the number of the one taken last.
struct line_reader {
  std::string_view rest;
  int number = 0;
  std::string_view next();
};
}  // namespace detail

/// One document from the text of a file; `file` stands in messages and becomes the source. id and title must be there, category
/// and tags may. Errors: rag.2 (front matter), rag.3 (a field missing, unknown or twice, no text).
document parse_document(std::string_view text, std::string const& file);

/// All `.md` files of a folder and the folders in it, in the order of their paths. README.md is left out. Errors: io.1,
/// rag.1 (no such folder, nothing in it), rag.2, rag.3, rag.4 (one id in two files).
std::vector<document> load_documents(std::string const& folder);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RAG)
  #include <algorithm>
  #include <filesystem>
  #include <functional>
  #include <map>
  #include "../core/error.hpp"
  #include "../io/file.hpp"

namespace smalti {

namespace detail {
SMALTI_INLINE std::string_view trimmed(std::string_view s) {
  auto const first = s.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view() : s.substr(first, s.find_last_not_of(" \t\r") - first + 1);
}

inline std::string_view unquoted(std::string_view s) {
  return s.size() >= 2 && (s.front() == '"' || s.front() == '\'') && s.back() == s.front() ? s.substr(1, s.size() - 2) : s;
}

SMALTI_INLINE std::string_view line_reader::next() {
  auto const end = std::min(rest.find('\n'), rest.size());
  auto const line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size())), ++number;
  return line;
}

inline std::vector<std::string> parse_tags(std::string_view value, std::string const& at) {
  if (value.size() < 2 || value.front() != '[' || value.back() != ']') throw error("rag.2", at + ": tags: expected [a, b], found \"" + std::string(value) + "\"");
  std::vector<std::string> tags;
  for (value = value.substr(1, value.size() - 2); !trimmed(value).empty();) {
    auto const comma = std::min(value.find(','), value.size());
    auto const tag = unquoted(trimmed(value.substr(0, comma)));
    if (tag.empty()) throw error("rag.2", at + ": tags: expected a name between commas, found none");
    tags.emplace_back(tag);
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return tags;
}
}  // namespace detail

SMALTI_INLINE document parse_document(std::string_view text, std::string const& file) {
  detail::line_reader lines{text};
  auto here = [&] { return file + ":" + std::to_string(lines.number); };
  if (text.starts_with("\xef\xbb\xbf")) lines.rest.remove_prefix(3);
  if (auto const first = lines.next(); detail::trimmed(first) != "---") throw error("rag.2", here() + ": expected --- and front matter, found \"" + std::string(first.substr(0, 40)) + "\"");
  document d;
  std::map<std::string, int, std::less<>> seen;  // field → line
  for (;;) {
    if (lines.rest.empty()) throw error("rag.2", here() + ": expected --- after the front matter, found the end of the file");
    auto const line = detail::trimmed(lines.next());
    if (line == "---") break;
    if (line.empty() || line.front() == '#') continue;
    auto const colon = line.find(':');
    if (colon == std::string_view::npos) throw error("rag.2", here() + ": expected `name: value`, found \"" + std::string(line.substr(0, 40)) + "\"");
    std::string const name(detail::trimmed(line.substr(0, colon)));
    auto const value = detail::unquoted(detail::trimmed(line.substr(colon + 1)));
    if (auto const [at, fresh] = seen.emplace(name, lines.number); !fresh) throw error("rag.3", here() + ": expected \"" + name + "\" once, found it in line " + std::to_string(at->second) + " too");
    if (name == "id") d.id = value;
    else if (name == "title") d.title = value;
    else if (name == "category") d.category = value;
    else if (name == "tags") d.tags = detail::parse_tags(value, here());
    else throw error("rag.3", here() + ": expected id, title, category or tags, found \"" + name + "\"");
  }
  if (d.id.empty() || d.title.empty()) throw error("rag.3", here() + ": expected an id and a title, found no " + (d.id.empty() ? "id" : "title"));
  auto const body = lines.rest;
  auto const first = body.find_first_not_of(" \t\r\n"), last = body.find_last_not_of(" \t\r\n");
  if (first == std::string_view::npos) throw error("rag.3", here() + ": expected a text after the front matter, found none");
  d.text = body.substr(first, last - first + 1), d.source = file;
  return d;
}

SMALTI_INLINE std::vector<document> load_documents(std::string const& folder) {
  namespace fs = std::filesystem;
  std::error_code failure;
  std::vector<std::string> paths;
  for (fs::recursive_directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure))
    if (at->is_regular_file(failure) && at->path().extension() == ".md" && at->path().filename() != "README.md") paths.push_back(at->path().string());
  if (failure) throw error("rag.1", folder + ": expected a folder of documents, found: " + failure.message());
  if (paths.empty()) throw error("rag.1", folder + ": expected .md files, found none");
  std::sort(paths.begin(), paths.end());
  std::vector<document> all;
  std::map<std::string, std::string> file_of;
  for (auto const& path : paths) {
    mapped_file const file(path);
    all.push_back(parse_document(file.text(), path));
    if (auto const [at, fresh] = file_of.emplace(all.back().id, path); !fresh)
      throw error("rag.4", path + ": expected an id of its own, found \"" + all.back().id + "\", which " + at->second + " has too");
  }
  return all;
}

}  // namespace smalti
#endif
