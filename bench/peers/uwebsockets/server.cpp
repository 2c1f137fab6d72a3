// The peer "uWebSockets": WebSocket over its native publish, which writes once per socket and turn
// of the loop; EventSource, for which it has no publish, over a list per channel as its users write it.
#include "uws.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr int PLAIN = 0;
constexpr int EXCLUSIVE_PORT = 1;

uws_app_t *app;

// One EventSource connection, and its place in the list of its channel.
struct Stream {
  uws_res_t *response;
  std::vector<Stream *> *list;
  size_t place;
};

std::unordered_map<std::string, std::vector<Stream *>> streams;

// A publication whose body is still coming.
struct Publication {
  std::string channel, body;
};

std::string_view query_channel(uws_req_t *request) {
  const char *value = nullptr;
  size_t length = uws_req_get_query(request, "channel", 7, &value);
  return {value ? value : "", length};
}

std::string_view header(uws_req_t *request, std::string_view name) {
  const char *value = nullptr;
  size_t length = uws_req_get_header(request, name.data(), name.size(), &value);
  return {value ? value : "", length};
}

// WebSocket

void upgrade(uws_res_t *response, uws_req_t *request, uws_socket_context_t *context, void *) {
  auto channel = new std::string(query_channel(request));
  auto key = header(request, "sec-websocket-key");
  uws_res_upgrade(PLAIN, response, channel, key.data(), key.size(), "", 0, "", 0, context);
}

void open(uws_websocket_t *socket, void *) {
  auto channel = static_cast<std::string *>(uws_ws_get_user_data(PLAIN, socket));
  uws_ws_subscribe(PLAIN, socket, channel->data(), channel->size());
  delete channel;
  uws_ws_send(PLAIN, socket, "hello", 5, TEXT);
}

// EventSource

void leave(uws_res_t *, void *data) {
  auto stream = static_cast<Stream *>(data);
  Stream *last = stream->list->back();
  (*stream->list)[stream->place] = last;
  last->place = stream->place;
  stream->list->pop_back();
  delete stream;
}

void subscribe(uws_res_t *response, uws_req_t *request, void *) {
  auto &list = streams[std::string(query_channel(request))];
  auto stream = new Stream{response, &list, list.size()};
  list.push_back(stream);
  uws_res_on_aborted(PLAIN, response, leave, stream);
  uws_res_write_header(PLAIN, response, "Content-Type", 12, "text/event-stream", 17);
  uws_res_write_header(PLAIN, response, "Cache-Control", 13, "no-store", 8);
  uws_res_write(PLAIN, response, ": hello\n\n", 9);
}

struct Event {
  std::string channel, text;
};

void write_event(uws_res_t *response, void *data) {
  auto event = static_cast<Event *>(data);
  uws_res_write(PLAIN, response, event->text.data(), event->text.size());
}

// Corked, or every part of a chunk would be a system call.
void broadcast(void *data) {
  auto event = static_cast<Event *>(data);
  for (Stream *stream : streams[event->channel])
    uws_res_cork(PLAIN, stream->response, write_event, event);
  delete event;
}

// Publications

void publish(const Publication &publication) {
  static unsigned long long count = 0;
  using namespace std::chrono;
  long long now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  char id[22];
  std::snprintf(id, sizeof id, "1AAAAAAAAAA%010llu", count++ % 10000000000ULL);

  const auto &channel = publication.channel;
  std::string message = "{\"channel\":\"" + channel + "\",\"id\":\"" + id +
                        "\",\"time\":" + std::to_string(now) + ",\"data\":" + publication.body + "}";
  uws_publish(PLAIN, app, channel.data(), channel.size(), message.data(), message.size(), TEXT, false);

  if (streams.count(channel) == 0) return;
  // Later in the turn: the loop has one buffer to cork into, and the publisher's answer holds it now.
  auto event = new Event{channel, std::string("id: ") + id + "\ndata: " + message + "\n\n"};
  uws_loop_defer(uws_get_loop(), broadcast, event);
}

void body(uws_res_t *response, const char *chunk, size_t length, bool is_last, void *data) {
  auto publication = static_cast<Publication *>(data);
  publication->body.append(chunk, length);
  if (!is_last) return;
  publish(*publication);
  delete publication;
  uws_res_end(PLAIN, response, "{\"ok\":true}", 11, false);
}

void forget(uws_res_t *, void *data) { delete static_cast<Publication *>(data); }

void post(uws_res_t *response, uws_req_t *request, void *) {
  const char *channel = nullptr;
  size_t length = uws_req_get_parameter(request, 0, &channel);
  auto publication = new Publication{{channel, length}, {}};
  uws_res_on_aborted(PLAIN, response, forget, publication);
  uws_res_on_data(PLAIN, response, body, publication);
}

void listening(us_listen_socket_t *socket, uws_app_listen_config_t, void *) {
  if (!socket) std::exit(1);
  std::puts("ready");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 2) return 2;
  app = uws_create_app(PLAIN, {});
  uws_socket_behavior_t behavior{};
  behavior.maxPayloadLength = 16 * 1024;
  // The default of 64 KiB drops what a reader has not taken in time; here nothing may be lost.
  behavior.maxBackpressure = 16 * 1024 * 1024;
  behavior.upgrade = upgrade;
  behavior.open = open;
  uws_ws(PLAIN, app, "/v1/ws", behavior, nullptr);
  uws_app_get(PLAIN, app, "/v1/sse", subscribe, nullptr);
  uws_app_post(PLAIN, app, "/v1/channels/:channel", post, nullptr);
  uws_app_listen_config_t config{std::atoi(arguments[1]), "127.0.0.1", EXCLUSIVE_PORT};
  uws_app_listen_with_config(PLAIN, app, config, listening, nullptr);
  uws_app_run(PLAIN, app);
}
