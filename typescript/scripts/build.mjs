/** Build `dist/`: the code once, as ESM with what the entries share in one chunk; what gives it to CommonJS; one file of types an entry. */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { INNER, renamed } from "./inner.mjs";
import { compiled, declarations } from "./types.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const maps = join(root, "maps");
const entries = ["index", "vercel", "openai-agents", "mcp", "langchain", "audit"];

for (const folder of [dist, maps]) rmSync(folder, { recursive: true, force: true });
const program = compiled(root);
const typed = declarations(program, root, entries);
const exported = Object.values(typed).join("\n");
const sources = renamed(program, (name) => new RegExp(`\\bclass ${name}\\b`).test(exported));
// What the entries need of the framework they adapt is given to them, never imported. Lines stay short enough for the line numbers of a
// stack trace to mean something: `maps/`, which is not packed, tells where in the sources that is.
const { outputFiles } = await build({
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
  // Every Node that we support has them; esbuild would make such patterns anew at each call.
  supported: { "regexp-unicode-property-escapes": true },
  lineLimit: 1000,
  mangleProps: INNER,
  sourcemap: "external",
  sourcesContent: false,
  write: false,
  // A field that a constructor sets is not set to undefined before.
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  plugins: [
    {
      name: "renamed",
      setup: ({ onLoad }) => onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => ({ contents: sources.get(path), loader: "ts" })),
    },
  ],
});
for (const folder of [dist, maps]) mkdirSync(folder);
for (const { path, contents } of outputFiles) writeFileSync(path.endsWith(".map") ? join(maps, basename(path)) : path, contents);

copyFileSync(join(root, "scripts", "load.cjs"), join(dist, "load.cjs"));
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
