// Reads an event stream as WHATWG HTML 9.2.6 says, in pieces of any size. Used by the SSE
// transport, which decodes the bytes; knows nothing of Bellwire.

/** What one feed of text brought. */
export interface ParserSink {
  /** An event is complete; `id` is the last event id at that point. */
  event(name: string, data: string, id: string): void;
  /** The server changed the reconnection time, in ms. */
  retry(ms: number): void;
}

/** Longest unfinished event, in UTF-16 units: a server that never ends one must not fill memory. */
const MAX_PENDING = 1 << 26;

/**
 * Returns the function to feed decoded text to.
 * @throws RangeError from that function when an event does not end
 */
export function createParser(sink: ParserSink): (text: string) => void {
  let rest = "";
  let afterCr = false;
  let name = "";
  /** Its lines, each after a line end. */
  let data = "";
  let id = "";

  const line = (text: string): void => {
    if (!text) {
      if (data) sink.event(name || "message", data.slice(1), id);
      return void (name = data = "");
    }
    const [field, ...rest] = text.split(":");
    const value = rest.join(":").replace(/^ /, "");
    if (field === "data") data += `\n${value}`;
    else if (field === "event") name = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) sink.retry(+value);
  };

  return (text) => {
    // A CR ends its line at once; a LF right after it belongs to it, be it in the next piece.
    const lines = (afterCr ? text.replace(/^\n/, "") : text).split(/\r\n?|\n/);
    if (text) afterCr = text.endsWith("\r");
    lines[0] = rest + lines[0];
    rest = lines.pop()!;
    lines.forEach(line);
    if (rest.length + data.length > MAX_PENDING) throw new RangeError("endless");
  };
}
