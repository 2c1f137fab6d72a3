// nginx as it is by default before 1.29.7, and ignoring the header that asks it not to buffer.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { startProgram, temporaryDirectory } from "../../../../tests/browser/programs.mjs";
import { freePort } from "./ports.mjs";

const NGINX = process.env.NGINX_BIN ?? "/usr/sbin/nginx";

/** Starts it before a server on `port`; returns its origin. */
export async function startNginx(t, port) {
  const directory = await temporaryDirectory();
  const own = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = `
    pid ${directory}/nginx.pid;
    worker_processes 1;
    events {}
    http {
      access_log off;
      ${paths.map((name) => `${name}_temp_path ${directory}/${name};`).join("\n      ")}
      server {
        listen 127.0.0.1:${own};
        location / {
          proxy_pass http://127.0.0.1:${port};
          proxy_http_version 1.0;
          proxy_ignore_headers X-Accel-Buffering;
        }
      }
    }`;
  const file = join(directory, "nginx.conf");
  await writeFile(file, config);
  const args = ["-c", file, "-p", directory, "-g", "daemon off; error_log stderr notice;"];
  await startProgram(t, { file: NGINX, args, said: /start worker process \d/, directory, signal: "SIGTERM" });
  return `http://127.0.0.1:${own}`;
}
