// The one error of this package.

/** Something was refused, given up, or its fate is unknown. */
export class BellwireError extends Error {
  /**
   * What to compare: a code of the protocol (spec/codes.toml), what a response was that is not
   * Bellwire's (`busy`, `status`), or one of the client's own:
   * - `aborted`: its signal aborted; whether it was published is unknown
   * - `closed`: the client is closed
   * - `outbox_full`: too many publications wait for an answer
   * - `slow_consumer`: a `for await` left too many messages unread
   * - `unknown`: no answer came for so long that publishing again would not be safe
   */
  declare readonly code: string;
  /** The HTTP status, where there was one. */
  declare readonly status: number | undefined;
  override name = "BellwireError";

  constructor(code: string, detail = code, status?: number) {
    super(detail);
    Object.assign(this, { code, status });
  }
}
