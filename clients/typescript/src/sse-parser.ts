// Reads an event stream as WHATWG HTML 9.2.6 says, in pieces of any size. Used by the SSE
// transport, which decodes the bytes; knows nothing of Bellwire.

/** What one feed of text brought. */
export interface ParserSink {
  /** An event is complete; `id` is the last event id at that point. */
  event(name: string, data: string, id: string): void;
  /** The server changed the reconnection time, in ms. */
  retry?(ms: number): void;
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
  let data: string | undefined;
  let id = "";

  const line = (text: string): void => {
    if (!text) {
      if (data !== undefined) sink.event(name || "message", data, id);
      name = "";
      data = undefined;
      return;
    }
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "event") name = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) sink.retry?.(+value);
  };

  return (text) => {
    // A CR ends its line at once; a LF right after it belongs to it, be it in the next piece.
    if (afterCr && text) {
      afterCr = false;
      if (text[0] === "\n") text = text.slice(1);
    }
    const ends = /\r\n?|\n/g;
    ends.lastIndex = rest.length;
    rest += text;
    let from = 0;
    for (let end = ends.exec(rest); end; end = ends.exec(rest)) {
      line(rest.slice(from, end.index));
      from = ends.lastIndex;
      afterCr = from === rest.length && end[0] === "\r";
    }
    rest = rest.slice(from);
    if (rest.length + (data?.length ?? 0) > MAX_PENDING) throw new RangeError("an event without an end");
  };
}
