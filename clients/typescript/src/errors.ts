// The one error of this package.

/** Something was refused, given up, or its fate is unknown. */
export class BellwireError extends Error {
  /**
   * What to compare: a code of the protocol (spec/codes.toml), or one of the client's own:
   * `aborted`, `closed`, `outbox_full`, `slow_consumer`, `unknown`.
   */
  readonly code: string;
  /** The HTTP status, where there was one. */
  readonly status: number | undefined;

  constructor(code: string, detail: string, status?: number) {
    super(detail);
    this.name = "BellwireError";
    this.code = code;
    this.status = status;
  }
}
