import assert from "node:assert/strict";
import { test } from "node:test";
import * as esbuild from "esbuild";

const built = await esbuild.build({
  entryPoints: [new URL("../src/json.ts", import.meta.url).pathname],
  bundle: true, format: "esm", write: false,
});
const json = await import(`data:text/javascript,${encodeURIComponent(built.outputFiles[0].text)}`);

test("numbers are written as they were read", () => {
  for (const written of ["9223372036854775807", "-9223372036854775808", "1.10", "30.0", "-0", "1e+22", "1e400",
    "0.1", "12345678901234567890.123456789"]) {
    assert.equal(json.stringify(json.parse(written)), written);
  }
});

test("numbers are equal by value, whatever their digits", () => {
  for (const [a, b] of [["30", "30.0"], ["1e2", "100"], ["-0", "0.00"], ["0.010", "1e-2"]]) {
    assert.ok(json.equal(json.parse(a), json.parse(b)), `${a} ${b}`);
  }
  assert.ok(!json.equal(json.parse("9223372036854775807"), json.parse("9223372036854775806")));
});

test("the writer agrees with JSON.stringify", () => {
  const value = { a: [1, "é\u0000\"", null, [], {}, { b: [true] }], "": -1.5, "10": "x" };
  for (const indent of [0, 2]) {
    const text = JSON.stringify(value, null, indent);
    assert.equal(json.stringify(json.parse(text), indent), text);
  }
});

test("a mistake is refused with its offset", () => {
  for (const [text, offset] of [["", 0], ["[1,]", 3], ['{"a":1,"a":2}', 7], ["[01]", 2], ['"\\x"', 1], ["1 2", 2], ['{"a"}', 4]]) {
    assert.throws(() => json.parse(text), (error) => error.offset === offset, text);
  }
});

test("__proto__ is a member like any other", () => {
  const value = json.parse('{"__proto__": {"x": 1}}');
  assert.equal(value.x, undefined);
  assert.equal(json.stringify(value), '{"__proto__":{"x":1}}');
  assert.equal(json.stringify(json.put(value, ["__proto__", "x"], 2)), '{"__proto__":{"x":2}}');
});

test("pointers go both ways", () => {
  const path = ["a/b", "m~n", "", "0"];
  assert.deepEqual(json.pathOf(json.pointerOf(path)), path);
});

test("differences are as deep as possible, arrays are one value", () => {
  const a = json.parse('{"a": {"b": 1, "c": 2}, "d": [1, 2]}');
  const b = json.parse('{"a": {"b": 1, "c": 3}, "d": [1], "e": null}');
  assert.deepEqual(json.differences(a, b).map(json.pointerOf), ["/a/c", "/d", "/e"]);
});

test("a merge keeps what does not overlap and names what does", () => {
  const base = json.parse('{"a": 1, "b": 1, "c": {"x": 1}, "d": 1}');
  const theirs = json.parse('{"a": 2, "b": 1, "c": {"x": 2}, "d": 5}');
  const mine = json.parse('{"a": 1, "b": 3, "c": {"x": 3}, "d": 5}');
  const { merged, conflicts } = json.merge(base, theirs, mine);
  assert.equal(json.stringify(merged), '{"a":2,"b":3,"c":{"x":2},"d":5}');
  assert.deepEqual(conflicts.map(json.pointerOf), ["/c/x"]);
});
