// The style sheet of a report: light and dark, and colours that differ in brightness as well as in hue (after Okabe and
// Ito), so that those who see few colours tell them apart.

const LIGHT = ["#0060a8", "#c24a00", "#007a59", "#a3347f", "#7a6000", "#2f7fb5", "#444444", "#8a2be2"];
const DARK = ["#6cb6ff", "#ff9d57", "#3fd6a6", "#f29ac9", "#f0dc55", "#9bd7f5", "#d0d0d0", "#c9a6ff"];

const INK = "--paper:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dee4;--panel:#f6f8fa;";
const INK_ON_DARK = "--paper:#0f1318;--ink:#e6edf3;--soft:#9aa6b2;--rule:#2c343d;--panel:#171c23;";

const colours = (list: readonly string[]) => list.map((colour, i) => `--s${i}:${colour};`).join("");
const classes = LIGHT.map((_, i) => `.s${i}{--c:var(--s${i})}`).join("\n");

export const STYLE = `
:root{color-scheme:light dark;${INK}${colours(LIGHT)}}
@media (prefers-color-scheme:dark){:root{${INK_ON_DARK}${colours(DARK)}}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:86rem;padding:1.5rem;font:16px/1.5 system-ui,sans-serif}
body{background:var(--paper);color:var(--ink)}
h1{font-size:1.6rem;margin:0}
h2{font-size:1.25rem;margin:2.5rem 0 .25rem}
p{margin:.25rem 0 1rem;max-width:60rem}
.soft{color:var(--soft)}
.warning{border-left:4px solid var(--s1);padding-left:.75rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,34rem),1fr));gap:1.25rem}
figure{margin:0;padding:1rem;background:var(--panel);border:1px solid var(--rule);border-radius:8px;min-width:0}
figcaption{font-weight:600}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:.4rem 0;padding:0;font-size:.9rem}
.keys li{display:flex;align-items:center;gap:.4rem}
.key{width:36px;height:16px}
svg{display:block;width:100%;height:auto;overflow:visible}
${classes}
.line{fill:none;stroke:var(--c);stroke-width:2}
.bar{stroke:var(--c);stroke-width:5;opacity:.35}
.dot{fill:var(--c)}
.stroke,.ring{fill:none;stroke:var(--c);stroke-width:2.2}
.grid{stroke:var(--rule)}
.guide{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:6 4}
text{fill:var(--ink);font-size:13px}
.tick{fill:var(--soft)}
.x.tick,.label{text-anchor:middle}
.y.tick{text-anchor:end;dominant-baseline:middle}
.guide-text{text-anchor:end;fill:var(--soft);font-size:12px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .9rem .2rem 0;text-align:left;border-bottom:1px solid var(--rule);white-space:nowrap}
td.wide{white-space:normal;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--soft);margin-top:.4rem}
code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}
`;
