/** Build `dist/`: the code once, as ESM with what the entries share in one chunk; what gives it to CommonJS; one file of types an entry. */
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { declarations } from "./types.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const entries = ["index", "vercel", "openai-agents", "mcp", "langchain", "audit"];

rmSync(dist, { recursive: true, force: true });
// What the entries need of the framework they adapt is given to them, never imported. Classes and methods keep their names, so that a
// stack trace can be read, and lines stay short enough for its line numbers to mean something.
await build({
  absWorkingDir: root,
  entryPoints: entries.map((name) => `src/${name}.ts`),
  outdir: dist,
  bundle: true,
  splitting: true,
  chunkNames: "[name]-[hash]",
  format: "esm",
  platform: "node",
  target: "node20",
  minify: true,
  lineLimit: 1000,
});

copyFileSync(join(root, "scripts", "load.cjs"), join(dist, "load.cjs"));
const typed = declarations(root, entries);
for (const name of entries) {
  writeFileSync(
    join(dist, `${name}.cjs`),
    `module.exports = require("./load.cjs")("${name}.js", () => require("./${name}.js"));\n`,
  );
  // Types of CommonJS serve both kinds of modules; those of ESM would serve only one.
  writeFileSync(join(dist, `${name}.d.cts`), typed[name]);
  writeFileSync(join(dist, `${name}.d.ts`), `export * from "./${name}.cjs";\n`);
}
copyFileSync(join(root, "..", "LICENSE"), join(root, "LICENSE"));
