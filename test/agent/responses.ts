/** Responses over HTTP/1.1, good and bad, as bytes, and what a client must get of each. */

/** What a client gets: a response that is whole or breaks off, or a refusal. */
export interface RightValue {
  readonly status: number;
  /** Of a response: its body, as far as it comes. */
  readonly body?: string;
  /** It ends before it is whole, and the client sees that. */
  readonly isBroken?: boolean;
  /** Of a refusal. */
  readonly code?: string;
}

export interface ResponseCase {
  readonly name: string;
  readonly bytes: string;
  readonly right: RightValue;
  readonly method: string;
}

const cases: ResponseCase[] = [];

function whole(name: string, bytes: string, body: string, status = 200, method = "GET"): void {
  cases.push({ name, bytes, method, right: { status, body } });
}

function broken(name: string, bytes: string, body: string): void {
  cases.push({ name, bytes, method: "GET", right: { status: 200, body, isBroken: true } });
}

function refused(name: string, bytes: string, code = "response-malformed"): void {
  cases.push({ name, bytes, method: "GET", right: { status: 502, code } });
}

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const withField = (field: string): string => `${OK}${field}\r\nContent-Length: 2\r\n\r\nok`;

whole("a length", `${OK}Content-Length: 5\r\n\r\nhello`, "hello");
whole("a length of nought", `${OK}Content-Length: 0\r\n\r\n`, "");
whole("a length with zeros before it", `${OK}Content-Length: 0005\r\n\r\nhello`, "hello");
whole("a length with blanks around it", `${OK}Content-Length: \t 5 \t\r\n\r\nhello`, "hello");
whole("a length in capitals", `${OK}CONTENT-LENGTH: 2\r\n\r\nok`, "ok");
whole("no length", `${OK}X: y\r\n\r\nto the end`, "to the end");
whole("no field", `${OK}\r\nx`, "x");
whole("HTTP/1.0", "HTTP/1.0 200 OK\r\nX: y\r\n\r\nold", "old");
whole("HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", "old");
whole("HTTP/1.0 in chunks", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "x");
whole("a later minor version", "HTTP/1.7 200 OK\r\nContent-Length: 1\r\n\r\nx", "x");
whole("no phrase", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", "x");
whole("no blank before no phrase", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "x");
whole("a phrase with controls", "HTTP/1.1 200 O\x01\x00K\r\nContent-Length: 1\r\n\r\nx", "x");
whole("a phrase of bytes", "HTTP/1.1 200 \x80\xff\r\nContent-Length: 1\r\n\r\nx", "x");
whole("empty lines before it", `\r\n\r\n${withField("X: y")}`, "ok");
whole("an unknown status", "HTTP/1.1 599 What\r\nContent-Length: 1\r\n\r\nx", "x", 599);
whole("204", "HTTP/1.1 204 No Content\r\n\r\n", "", 204);
whole("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "", 204);
whole("204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "", 204);
whole("204 in chunks", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "", 204);
whole("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "", 304);
whole("HEAD with a length", `${OK}Content-Length: 99\r\n\r\n`, "", 200, "HEAD");
whole("HEAD with a coding", `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`, "", 200, "HEAD");
whole("HEAD with a body", `${OK}Content-Length: 3\r\n\r\nabc`, "", 200, "HEAD");
whole("more than its length", `${OK}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nnot this`, "ok");

whole("chunks", `${CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`, "abcde");
whole("no chunk", `${CHUNKED}0\r\n\r\n`, "");
whole(
  "chunks in capitals",
  `${OK}TRANSFER-ENCODING: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n`,
  "0123456789",
);
whole("chunk sizes with zeros", `${CHUNKED}0003\r\nabc\r\n000\r\n\r\n`, "abc");
whole("chunk extensions", `${CHUNKED}3;a=b;c="d e"\r\nabc\r\n1 ; x\r\nd\r\n0;end\r\n\r\n`, "abcd");
whole(
  "trailers",
  `${OK}Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\nx\r\n0\r\nX: 1\r\nY: 2\r\n\r\n`,
  "x",
);
whole("more than its chunks", `${CHUNKED}1\r\nx\r\n0\r\n\r\n1\r\ny\r\n0\r\n\r\n`, "x");

whole("100 that nobody asked for", `HTTP/1.1 100 Continue\r\n\r\n${withField("X: y")}`, "ok");
whole(
  "102, 103 and 100",
  `HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 100\r\n\r\n${withField("X: y")}`,
  "ok",
);
whole("199 with a length", `HTTP/1.1 199 M\r\nContent-Length: 9\r\n\r\n${withField("X: y")}`, "ok");
refused("100 with a body", `HTTP/1.1 100 C\r\nContent-Length: 3\r\n\r\nabc${withField("X: y")}`);
refused("an end after 100", "HTTP/1.1 100 Continue\r\n\r\n", "connection-terminated");

whole("a folded field", withField("X: a\r\n  b\r\n\tc"), "ok");
whole("an empty value", withField("X:"), "ok");
whole("bytes from 0x80 up in a value", withField("X: \x80\xa0\xff"), "ok");
refused("a folded length", `${OK}Content-Length: 1\r\n 0\r\n\r\nx`);
refused("a folded coding", `${OK}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`);
refused("a blank before the first field", `${OK} X: y\r\nContent-Length: 2\r\n\r\nok`);
refused("a blank before a colon", withField("X : y"));
refused("a field without a colon", withField("X"));
refused("a field without a name", withField(": y"));
refused("a name with a byte of 0x80", withField("X\x80: y"));
refused("NUL in a value", withField("X: a\x00b"));
refused("CR in a value", withField("X: a\rb"));
refused("CR before a name", withField("\rX: a"));
refused("DEL in a value", withField("X: \x7f"));
refused("a vertical tab in a value", withField("X: \x0b"));
refused("a line feed alone after the status", "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\nx");
refused("a line feed alone after a field", `${OK}Content-Length: 1\n\r\nx`);
refused("a line feed alone at the end", `${OK}Content-Length: 1\r\n\nx`);
refused("two CR", `${OK}Content-Length: 1\r\r\n\r\nx`);
for (const status of ["000", "099", "101", "600", "999", "20", "2000", "-20", "2x0"]) {
  refused(`status ${status}`, `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`);
}
for (const version of [
  "HTTP/0.9",
  "HTTP/2.0",
  "HTTP/1",
  "HTTP/1.",
  "HTTP/1.10",
  "http/1.1",
  "HTP/1.1",
  "ICY",
]) {
  refused(`version ${version}`, `${version} 200 OK\r\nContent-Length: 0\r\n\r\n`);
}
refused("two blanks before the status", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n");
refused("no HTTP at all", "<html>no</html>\r\n");

for (const length of ["", "+5", "-5", "5 5", "5, 5", "0x5", "5.0", "5;", "9007199254740993", "1e3", "\xb2"]) {
  refused(`length ${JSON.stringify(length)}`, `${OK}Content-Length: ${length}\r\n\r\nhello`);
}
refused("two lengths", `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`);
refused("the same length twice", `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`);
refused("a length and chunks", `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
refused("chunks and a length", `${OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`);
for (const coding of [
  "gzip",
  "chunked, gzip",
  "gzip, chunked",
  "identity",
  "chunked, chunked",
  "xchunked",
  "chunked;q=1",
  "",
  ",",
]) {
  refused(
    `coding ${JSON.stringify(coding)}`,
    `${OK}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`,
    "response-coding-unsupported",
  );
}
refused(
  "two codings",
  `${OK}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "response-coding-unsupported",
);
refused(
  "chunked twice",
  `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "response-coding-unsupported",
);

refused("nothing", "", "connection-terminated");
refused("half a status line", "HTTP/1.1 20", "connection-terminated");
refused("half a head", `${OK}Content-Length: 5\r\n`, "connection-terminated");
broken("less than its length", `${OK}Content-Length: 5\r\n\r\nhel`, "hel");
broken("a head and no body", `${OK}Content-Length: 5\r\n\r\n`, "");
broken("no last chunk", `${CHUNKED}3\r\nabc\r\n`, "abc");
broken("half a chunk", `${CHUNKED}3\r\nab`, "ab");
broken("half a last chunk", `${CHUNKED}3\r\nabc\r\n0\r\n`, "abc");
broken("half a trailer", `${CHUNKED}3\r\nabc\r\n0\r\nX: y\r\n`, "abc");
broken("a bad trailer", `${CHUNKED}3\r\nabc\r\n0\r\nX y\r\n\r\n`, "abc");
for (const size of [
  "",
  "x",
  "-1",
  "+1",
  "0x1",
  "1 ",
  " 1",
  "1\t",
  "1 x",
  ";",
  "g",
  "ffffffffffffffff",
  "20000000000000",
  "1\x00",
  "1;\x00",
]) {
  broken(`chunk size ${JSON.stringify(size)}`, `${CHUNKED}3\r\nabc\r\n${size}\r\nx\r\n0\r\n\r\n`, "abc");
}
broken("a chunk size without CR", `${CHUNKED}3\r\nabc\r\n1\nx\r\n0\r\n\r\n`, "abc");
broken("a chunk that is longer", `${CHUNKED}3\r\nabc\r\n1\r\nxy\r\n0\r\n\r\n`, "abcx");
broken("a chunk without CR", `${CHUNKED}3\r\nabc\n1\r\nx\r\n0\r\n\r\n`, "abc");

/** All of them; the origin ends the connection after the bytes. */
export const RESPONSES: readonly ResponseCase[] = cases;
