// What server.cpp uses of the C interface of uWebSockets, as socketify 0.0.31 builds it. The package
// brings no complete header; these declarations follow its src/socketify/native.py.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {
struct uws_app_t;
struct uws_req_t;
struct uws_res_t;
struct uws_websocket_t;
struct uws_socket_context_t;
struct us_listen_socket_t;
struct us_loop_t;

struct us_socket_context_options_t {
  const char *key_file_name, *cert_file_name, *passphrase, *dh_params_file_name, *ca_file_name,
      *ssl_ciphers;
  int ssl_prefer_low_memory_usage;
};

struct uws_app_listen_config_t {
  int port;
  const char *host;
  int options;
};

enum uws_opcode_t { TEXT = 1 };

struct uws_socket_behavior_t {
  int compression;
  unsigned int maxPayloadLength;
  unsigned short idleTimeout;
  unsigned int maxBackpressure;
  bool closeOnBackpressureLimit, resetIdleTimeoutOnSend, sendPingsAutomatically;
  unsigned short maxLifetime;
  void (*upgrade)(uws_res_t *, uws_req_t *, uws_socket_context_t *, void *);
  void (*open)(uws_websocket_t *, void *);
  void (*message)(uws_websocket_t *, const char *, size_t, uws_opcode_t, void *);
  void (*drain)(uws_websocket_t *, void *);
  void (*ping)(uws_websocket_t *, const char *, size_t, void *);
  void (*pong)(uws_websocket_t *, const char *, size_t, void *);
  void (*close)(uws_websocket_t *, int, const char *, size_t, void *);
  void (*subscription)(uws_websocket_t *, const char *, size_t, int, int, void *);
};

us_loop_t *uws_get_loop();
void uws_loop_defer(us_loop_t *, void (*)(void *), void *);

// The first argument of all others is whether the connection is encrypted.
uws_app_t *uws_create_app(int, us_socket_context_options_t);
void uws_app_run(int, uws_app_t *);
void uws_app_listen_with_config(int, uws_app_t *, uws_app_listen_config_t,
                                void (*)(us_listen_socket_t *, uws_app_listen_config_t, void *),
                                void *);
void uws_app_get(int, uws_app_t *, const char *, void (*)(uws_res_t *, uws_req_t *, void *), void *);
void uws_app_post(int, uws_app_t *, const char *, void (*)(uws_res_t *, uws_req_t *, void *), void *);
void uws_ws(int, uws_app_t *, const char *, uws_socket_behavior_t, void *);
bool uws_publish(int, uws_app_t *, const char *, size_t, const char *, size_t, uws_opcode_t, bool);

bool uws_ws_subscribe(int, uws_websocket_t *, const char *, size_t);
int uws_ws_send(int, uws_websocket_t *, const char *, size_t, uws_opcode_t);
void *uws_ws_get_user_data(int, uws_websocket_t *);

size_t uws_req_get_header(uws_req_t *, const char *, size_t, const char **);
size_t uws_req_get_query(uws_req_t *, const char *, size_t, const char **);
size_t uws_req_get_parameter(uws_req_t *, unsigned short, const char **);

void uws_res_upgrade(int, uws_res_t *, void *, const char *, size_t, const char *, size_t,
                     const char *, size_t, uws_socket_context_t *);
void uws_res_write_header(int, uws_res_t *, const char *, size_t, const char *, size_t);
bool uws_res_write(int, uws_res_t *, const char *, size_t);
void uws_res_end(int, uws_res_t *, const char *, size_t, bool);
void uws_res_cork(int, uws_res_t *, void (*)(uws_res_t *, void *), void *);
void uws_res_on_aborted(int, uws_res_t *, void (*)(uws_res_t *, void *), void *);
void uws_res_on_data(int, uws_res_t *, void (*)(uws_res_t *, const char *, size_t, bool, void *),
                     void *);
}
