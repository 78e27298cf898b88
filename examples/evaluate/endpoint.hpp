#pragma once
// A model behind an OpenAI-compatible URL as what answers a prompt: POST <url>/chat/completions. Built where cpp-httplib was found.

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <smalti/rag/answer.hpp>
#include <smalti/io/json.hpp>
#if EVALUATE_HTTP
  #include <httplib.h>
#endif

namespace evaluation {

struct endpoint_options {
  std::string url;    ///< server and path, as in http://localhost:8000/v1; https where cpp-httplib has TLS
  std::string model;  ///< its name there
  int max_tokens = 200;
  long long seed = 1;
};

/// The two parts of a URL. Throws std::runtime_error for anything but http(s)://host….
struct endpoint_address {
  std::string server, path;
};
inline endpoint_address parse_url(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  std::size_t const host = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (!host || url.size() <= host || url[host] == '/') throw std::runtime_error("--url: expected a URL such as http://localhost:8000/v1, found " + url);
  auto const slash = std::min(url.find('/', host), url.size());
  return {url.substr(0, slash), url.substr(slash)};
}

/// The body of a request: greedy, so that a run can be repeated.
inline smalti::json request_body(smalti::rag_prompt const& p, endpoint_options const& o) {
  return {{"model", o.model}, {"temperature", 0}, {"max_tokens", o.max_tokens}, {"seed", o.seed}, {"stream", false},
          {"messages", {{{"role", "system"}, {"content", p.system}}, {{"role", "user"}, {"content", p.user}}}}};
}
/// The answer in a response's body. Throws std::runtime_error that shows what was found instead.
inline smalti::generated_text parse_response(std::string const& body, std::string const& from) {
  auto const j = smalti::json::parse(body, nullptr, false);
  auto const wrong = [&] { return std::runtime_error(from + ": expected a chat completion, found " + body.substr(0, 200)); };
  if (!j.is_object() || !j.contains("choices") || !j["choices"].is_array() || j["choices"].empty()) throw wrong();
  auto const& choice = j["choices"][0];
  if (!choice.is_object() || !choice.contains("message") || !choice["message"].is_object()) throw wrong();
  smalti::generated_text out;
  auto const content = choice["message"].find("content");
  if (content == choice["message"].end() || !(content->is_string() || content->is_null())) throw wrong();
  if (content->is_string()) out.text = *content;
  if (auto const usage = j.find("usage"); usage != j.end() && usage->is_object()) {
    auto const count = [&](char const* name) { return usage->contains(name) && (*usage)[name].is_number_integer() ? (*usage)[name].get<int>() : 0; };
    out.prompt_tokens = count("prompt_tokens"), out.tokens = count("completion_tokens");
  }
  return out;
}

/// A text_generator. Asks again, a second and four later, where the server is busy or away (no connection, 429, 5xx).
class endpoint {
 public:
  explicit endpoint(endpoint_options o) : options_(std::move(o)), address_(parse_url(options_.url)) {
#if !EVALUATE_HTTP
    throw std::runtime_error("--url: this program was built without cpp-httplib; install it (Debian: libcpp-httplib-dev) and configure again");
#elif !defined(CPPHTTPLIB_OPENSSL_SUPPORT)
    if (address_.server.starts_with("https:")) throw std::runtime_error("--url: this program's cpp-httplib was built without TLS, found " + options_.url);
#endif
  }

  smalti::generated_text operator()(smalti::rag_prompt const& p) const {
#if EVALUATE_HTTP
    auto const begin = std::chrono::steady_clock::now();
    std::string why;
    for (int attempt = 0; attempt < 3; ++attempt) {
      if (attempt) std::this_thread::sleep_for(std::chrono::seconds(attempt == 1 ? 1 : 4));
      httplib::Client client(address_.server);
      client.set_connection_timeout(10), client.set_read_timeout(600);
      httplib::Headers headers;
      if (char const* const key = std::getenv("OPENAI_API_KEY")) headers.emplace("Authorization", std::string("Bearer ") + key);
      auto const body = request_body(p, options_).dump(-1, ' ', false, smalti::json::error_handler_t::replace);
      auto const r = client.Post(address_.path + "/chat/completions", headers, body, "application/json");
      if (r && r->status == 200) {
        auto out = parse_response(r->body, options_.url);
        out.decode_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        return out;
      }
      why = r ? "status " + std::to_string(r->status) + ": " + r->body.substr(0, 200) : httplib::to_string(r.error());
      if (r && r->status != 429 && r->status < 500) break;
    }
    throw std::runtime_error(options_.url + ": expected an answer, found " + why);
#else
    return (void)p, smalti::generated_text{};
#endif
  }

 private:
  endpoint_options options_;
  endpoint_address address_;
};

}  // namespace evaluation
