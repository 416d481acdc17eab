/** Build `dist/`: ESM with what the entries share in one chunk, CommonJS, and types for both. */
import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const entries = { index: "src/index.ts", vercel: "src/vercel.ts", "openai-agents": "src/openai-agents.ts" };
Object.assign(entries, { mcp: "src/mcp.ts", langchain: "src/langchain.ts" });

rmSync(dist, { recursive: true, force: true });
// Whitespace only: names stay, so that what runs inside an agent can be read.
const options = {
  bundle: true,
  platform: "node",
  target: "node20",
  minifyWhitespace: true,
  minifySyntax: true,
  absWorkingDir: root,
};
// What the entries need of the framework they adapt is given to them, never imported.
await build({ ...options, entryPoints: entries, outdir: dist, format: "esm", splitting: true, chunkNames: "[name]-[hash]" });
await build({ ...options, entryPoints: entries, outdir: dist, format: "cjs", outExtension: { ".js": ".cjs" } });

const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
for (const name of readdirSync(dist, { recursive: true })) {
  if (!name.endsWith(".d.ts")) continue;
  const text = readFileSync(join(dist, name), "utf8");
  writeFileSync(join(dist, name.replace(/\.d\.ts$/, ".d.cts")), text.replace(/(["'])(\.{1,2}\/[^"']+)\.js\1/g, "$1$2.cjs$1"));
}
copyFileSync(join(root, "..", "LICENSE"), join(root, "LICENSE"));
