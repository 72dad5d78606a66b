/* SPDX-License-Identifier: Apache-2.0 */
/* The look of the page. Series: duct in strong colours, baselines grey and dashed, peers thin. */
#include "bench/report_html.h"

static const char light[] =
    "--page:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#5b6878;--hair:#e3e7ec;--grid:#e9edf1;"
    "--good:#117a4c;--good-bg:#e2f4ea;--bad:#b3261e;--bad-bg:#fce8e6;"
    "--duct:#1f5eff;--duct2:#7a3ff2;--duct3:#0093b8;--duct4:#c02fb0;--base:#6d7988;--base2:#a2acb8;"
    "--peer1:#c76b00;--peer2:#c62a3a;--peer3:#a34d7a;--peer4:#5f8a00;--peer5:#0c8a72;";

static const char dark[] =
    "--page:#0e1319;--card:#161d26;--ink:#e6ebf1;--soft:#94a1b1;--hair:#27313d;--grid:#222b36;"
    "--good:#5fd39b;--good-bg:#123225;--bad:#ff8a80;--bad-bg:#3b1a19;"
    "--duct:#6f9bff;--duct2:#ab87ff;--duct3:#3ec3e6;--duct4:#ee7fe0;--base:#98a4b3;--base2:#66727f;"
    "--peer1:#f0a34a;--peer2:#ff7a86;--peer3:#e08db8;--peer4:#a9d04f;--peer5:#4fd3b8;";

static const char layout[] =
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "main{max-width:1180px;margin:0 auto;padding:40px 24px 72px}"
    "header h1{font-size:34px;line-height:1.15;margin:0 0 6px;letter-spacing:-.02em}"
    "header p{margin:0;color:var(--soft);max-width:70ch}"
    "h2{font-size:19px;margin:44px 0 4px;letter-spacing:-.01em}"
    "h2+p{margin:0 0 14px;color:var(--soft);max-width:86ch}"
    "dl{display:flex;flex-wrap:wrap;gap:6px 28px;margin:18px 0 0;padding:14px 0 0;"
    "border-top:1px solid var(--hair);font-size:13.5px}"
    "dl div{display:flex;gap:7px}dt{color:var(--soft)}dd{margin:0}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;"
    "margin-top:26px}"
    ".tile{background:var(--card);border:1px solid var(--hair);border-radius:12px;padding:14px "
    "16px}"
    ".tile b{display:block;font-size:25px;line-height:1.25;letter-spacing:-.02em;"
    "font-variant-numeric:tabular-nums}"
    ".tile span{display:block;color:var(--soft);font-size:13px;line-height:1.4}"
    ".card{background:var(--card);border:1px solid var(--hair);border-radius:12px;overflow-x:auto}"
    "table{border-collapse:collapse;width:100%;font-size:13.5px;"
    "font-variant-numeric:tabular-nums}"
    "th{text-align:right;color:var(--soft);font-weight:500;font-size:12.5px}"
    "th,td{padding:6px 12px;border-bottom:1px solid var(--hair);white-space:nowrap}"
    "td{text-align:right}th.l,td.l{text-align:left}tr:last-child td{border-bottom:0}"
    "td.l.name{font-weight:550}tr.mine td.name{color:var(--duct)}tr.theirs "
    "td.name{color:var(--peer1)}"
    "td.note{color:var(--soft);text-align:left;white-space:normal;min-width:210px;line-height:1.3}"
    ".chip{display:inline-block;min-width:62px;text-align:center;border-radius:99px;"
    "font-size:12px;font-weight:600;padding:1px 9px}"
    ".met{color:var(--good);background:var(--good-bg)}"
    ".missed{color:var(--bad);background:var(--bad-bg)}"
    ".track{position:relative;width:180px;height:10px;border-radius:5px;background:var(--grid)}"
    ".track i{position:absolute;left:0;top:0;bottom:0;border-radius:5px;background:var(--good)}"
    ".track.bad i{background:var(--bad)}"
    ".track u{position:absolute;top:-4px;bottom:-4px;width:2px;background:var(--ink)}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:"
    "16px}"
    "figure{margin:0;background:var(--card);border:1px solid var(--hair);border-radius:12px;"
    "padding:14px 16px 8px}"
    "figure.wide{grid-column:1/-1}"
    "figcaption b{display:block;font-weight:600}"
    "figcaption span{display:block;color:var(--soft);font-size:12.5px;margin-bottom:8px}"
    "svg{display:block;width:100%;height:auto;overflow:visible}"
    "details summary{cursor:pointer;color:var(--soft);margin:8px 0 14px}"
    "footer{margin-top:40px;color:var(--soft);font-size:13px;max-width:86ch}";

static const char strokes[] =
    ".grid{stroke:var(--grid);fill:none}.tick{font-size:12.5px;fill:var(--soft)}"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
    ".name{font-size:12.5px;paint-order:stroke;stroke:var(--card);stroke-width:3px}.lead{fill:none;"
    "stroke-width:.8;opacity:.45}"
    "circle{stroke:none}circle:hover{stroke:currentColor;stroke-width:7;stroke-opacity:.25}"
    ".base .line,.base2 .line{stroke-dasharray:5 4;stroke-width:1.6}";

static const char *const series[] = {"duct",  "duct2", "duct3", "duct4", "base", "base2",
                                     "peer1", "peer2", "peer3", "peer4", "peer5"};

void report_html_style(FILE *out)
{
    fprintf(out, "<style>\n:root{color-scheme:light dark;%s}\n", light);
    fprintf(out, "@media(prefers-color-scheme:dark){:root{%s}}\n%s\n%s\n", dark, layout, strokes);
    for (size_t i = 0; i < sizeof(series) / sizeof(series[0]); i++)
        fprintf(out,
                ".%s{color:var(--%s)}.%s .line,.%s .lead{stroke:var(--%s)}"
                ".%s circle,.%s text{fill:var(--%s)}\n",
                series[i], series[i], series[i], series[i], series[i], series[i], series[i],
                series[i]);
    fprintf(out, ".duct .line,.duct2 .line,.duct3 .line,.duct4 .line{stroke-width:2.6}"
                 ".duct text,.duct2 text,.duct3 text,.duct4 text{font-weight:600}\n</style>\n");
}
