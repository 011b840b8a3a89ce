// Builds the console into the package of the service, the same bytes every time.
import { readFileSync, readdirSync, rmSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = process.argv[2] ?? join(here, "../persist/api/static/console");

const built = await esbuild.build({
  absWorkingDir: here,
  entryPoints: ["src/app.tsx", "src/app.css"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  entryNames: "[name]-[hash]",
  outdir: "built",
  write: false,
});

mkdirSync(target, { recursive: true });
for (const name of readdirSync(target)) rmSync(join(target, name), { recursive: true });
const named = (ending) => basename(built.outputFiles.find(({ path }) => path.endsWith(ending)).path);
for (const { path, contents } of built.outputFiles) writeFileSync(join(target, basename(path)), contents);
const page = readFileSync(join(here, "src/index.html"), "utf8")
  .replace("app.css", named(".css"))
  .replace("app.js", named(".js"));
writeFileSync(join(target, "index.html"), page);
