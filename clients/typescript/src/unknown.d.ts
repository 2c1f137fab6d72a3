// What comes from outside is of no type until somebody says so; the library's own types say `any`.
// For this package only: it is not part of what is published in dist/.

interface JSON {
  parse(text: string): unknown;
}

interface Body {
  json(): Promise<unknown>;
}
