// Loaded into prism before prism itself (node --require). Three things that its command line has no option for:
//
// 1. A redirect is an answer like any other: it goes back to whoever asked, and prism does not follow it.
// 2. Each verdict is written to the file $PRISM_VERDICTS before the answer is sent, one JSON line for each judged
//    request that was not flawless: so that whoever has the answer finds the verdict there.
// 3. When the process that started prism is gone, however it went, its end of our stdin closes, and we go too.
"use strict";

const fs = require("node:fs");
const http = require("node:http");

const fetch = require("node-fetch");
fetch.default = (url, options) => fetch(url, { ...options, redirect: "manual" });

const verdicts = fs.openSync(process.env.PRISM_VERDICTS, "a");
const end = http.ServerResponse.prototype.end;
http.ServerResponse.prototype.end = function (body, ...rest) {
  const violations = this.getHeader("sl-violations");
  const type = String(this.getHeader("content-type") || "");
  // Prism's own answers, in place of the server's, are the only ones of this type.
  const own = type.startsWith("application/problem+json") ? String(body) : undefined;
  if (!this.judged && (violations || own)) {
    this.judged = true;
    const { method, url } = this.req;
    fs.writeSync(verdicts, JSON.stringify({ method, url, status: this.statusCode, violations, own }) + "\n");
  }
  return end.call(this, body, ...rest);
};

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
