"""The reports' one style sheet: nothing is loaded from anywhere; light and dark follow the reader's system."""

from __future__ import annotations

from typing import Final

__all__ = ["SERIES", "STYLE"]

# How many series have a colour of their own; more are drawn in the colours again, told apart by dashes.
SERIES: Final = 6

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1b1c1e; --soft: #5c6066; --faint: #8b9096; --line: #e3e3df;
  --good: #12795a; --warning: #a05c00; --bad: #b92b3c; --accent: #2462b8;
  --good-tint: #e0f3ec; --warning-tint: #fbeed8; --bad-tint: #fbe4e6; --neutral-tint: #eceef1;
  --s0: #2462b8; --s1: #c8562a; --s2: #12856a; --s3: #8a4fbf; --s4: #b58900; --s5: #c23b76;
  --reference: #9aa1a9; --window: #2462b8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131417; --card: #1c1e22; --ink: #ececec; --soft: #a9afb7; --faint: #7d848d; --line: #30343a;
    --good: #4cc79c; --warning: #e5a84b; --bad: #f0808c; --accent: #74a7f2;
    --good-tint: #17352b; --warning-tint: #3a2d16; --bad-tint: #3f1f24; --neutral-tint: #2a2d33;
    --s0: #74a7f2; --s1: #ef8e63; --s2: #4cc79c; --s3: #c094ea; --s4: #dfb94a; --s5: #ee86b2;
    --reference: #737b85; --window: #74a7f2;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 0 0 4px; }
p { margin: 0 0 10px; }
.subtitle, .lead { color: var(--soft); max-width: 75ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 22px 24px; margin-top: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; margin-top: 24px; }
.tile { background: var(--card); padding: 14px 18px; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin: 2px 0 0; font-size: 23px; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tile small { display: block; color: var(--soft); font-size: 13px; font-weight: 400; }
.good { color: var(--good); } .warning { color: var(--warning); } .bad { color: var(--bad); }
.chip { display: inline-block; border-radius: 5px; padding: 1px 8px; font-size: 12.5px; white-space: nowrap;
  background: var(--neutral-tint); color: var(--soft); }
.chip.good { background: var(--good-tint); color: var(--good); }
.chip.warning { background: var(--warning-tint); color: var(--warning); }
.chip.bad { background: var(--bad-tint); color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 13px; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td { overflow-wrap: anywhere; min-width: 70px; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
time, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 12.5px; color: var(--soft); white-space: nowrap; }
.timeline { list-style: none; margin: 8px 0 0; padding: 0; }
.timeline li { display: grid; grid-template-columns: 118px 150px 1fr; gap: 12px; padding: 6px 0; border-bottom: 1px solid var(--line);
  font-size: 14px; align-items: baseline; }
.timeline li:last-child { border-bottom: 0; }
.timeline span.what { overflow-wrap: anywhere; }
details > summary { cursor: pointer; color: var(--accent); font-size: 14px; margin-top: 8px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 24px; margin-top: 14px; }
.accident { border-left: 3px solid var(--line); padding-left: 16px; margin-top: 18px; }
.accident.good { border-color: var(--good); } .accident.bad { border-color: var(--bad); }
.accident p, .accident li { color: var(--ink); }
.accident ul { margin: 4px 0 0; padding-left: 18px; font-size: 14px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); margin: 6px 0 4px; }
.legend svg { vertical-align: -2px; margin-right: 6px; }
svg.chart { display: block; width: 100%; height: auto; min-width: 560px; }
.cards svg.chart { min-width: 0; }
svg text { fill: var(--soft); font: 11.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; }
svg text.strong { fill: var(--ink); }
.grid { stroke: var(--line); stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.f0 { fill: var(--s0); } .f1 { fill: var(--s1); } .f2 { fill: var(--s2); } .f3 { fill: var(--s3); } .f4 { fill: var(--s4); } .f5 { fill: var(--s5); }
.l0 { stroke: var(--s0); } .l1 { stroke: var(--s1); } .l2 { stroke: var(--s2); } .l3 { stroke: var(--s3); } .l4 { stroke: var(--s4); } .l5 { stroke: var(--s5); }
.t0 { fill: var(--s0) !important; } .t1 { fill: var(--s1) !important; } .t2 { fill: var(--s2) !important; }
.t3 { fill: var(--s3) !important; } .t4 { fill: var(--s4) !important; } .t5 { fill: var(--s5) !important; }
.rule { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 2 3; }
.m-good { fill: var(--good); } .m-bad { fill: var(--bad); } .m-warning { fill: var(--warning); } .m-neutral { fill: var(--soft); }
.empty { fill: var(--neutral-tint); } .heat { fill: var(--accent); } .alarm { fill: none; stroke: var(--bad); stroke-width: 1.6; }
.reference { fill: var(--reference); } .window { fill: var(--window); }
.champion { fill: var(--neutral-tint); } .challenger { fill: var(--accent); } .challenger.bad { fill: var(--bad); }
footer { color: var(--faint); font-size: 13px; margin-top: 28px; }
@media (max-width: 640px) { main { padding: 24px 14px; } section { padding: 16px; }
  .timeline li { grid-template-columns: 1fr; gap: 2px; } }
@media print { body { background: #fff; } section, .tiles { break-inside: avoid; } }
"""
