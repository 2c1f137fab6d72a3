// Publishes to the channel: one message by hand, or a numbered one every half second.
// Called by `start.js`; knows neither the wires nor the document.

import { CROWDED } from "./wires.js";

/** Ms between two numbered messages. */
const TICK_MS = 500;
/** After this many ms without an answer, say that the browser may be short of connections. */
const ANSWER_MS = 4_000;

/**
 * Publishes `body` as `curl -d` does: what parses as JSON is JSON, the rest is a string.
 * @param {(text: string) => void} report told once if the request waits for a connection
 * @returns {Promise<{id: string}>} the server's reply
 * @throws {Error} with the server's own words
 */
export async function publish(channel, body, report, headers = {}) {
  const waiting = setTimeout(() => report(CROWDED), ANSWER_MS);
  try {
    const response = await fetch(`/v1/channels/${channel}`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
      body,
    });
    const reply = await response.json();
    if (!response.ok) throw new Error(`Not published: ${reply.detail ?? response.status}`);
    return reply;
  } finally {
    clearTimeout(waiting);
  }
}

/** Publishes dense numbers for as long as they are wanted. */
export class Ticker {
  #running = false;
  #number = 1;

  /**
   * @param {string} channel
   * @param {string} page marks the numbers as this page's
   * @param {() => boolean} wanted asked before each message
   * @param {(text: string) => void} report
   */
  constructor(channel, page, wanted, report) {
    Object.assign(this, { channel, page, wanted, report });
  }

  /** Starts when numbers are wanted; it stops by itself. */
  async wake() {
    if (this.#running) return;
    this.#running = true;
    while (this.wanted()) {
      await this.#tick();
      await new Promise((done) => setTimeout(done, TICK_MS));
    }
    this.#running = false;
  }

  async #tick() {
    const body = JSON.stringify({ tick: this.#number, page: this.page });
    // A number whose fate is unknown is sent again under its key, so numbers stay dense.
    const key = { "idempotency-key": `${this.page}-${this.#number}` };
    try {
      await publish(this.channel, body, this.report, key);
      this.#number += 1;
    } catch (error) {
      this.report(error.message);
    }
  }
}
