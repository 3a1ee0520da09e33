"""The HTML report's style sheet: light and dark, 400 px and wider; text contrast at least 4.5:1."""

CSS = """
:root{color-scheme:light dark;
 --page:#f6f7f9;--card:#fff;--line:#dfe3e8;--text:#1a2027;--dim:#55606c;--track:#e9ecf0;
 --accent:#1f5fbf;--pale:#9dbce8;--hot:#b4500b;--good:#17693a;--good-bg:#e2f4e8;
 --bad:#a3211b;--bad-bg:#fde8e6;--open:#6b4e00;--open-bg:#fdf3d3}
@media (prefers-color-scheme:dark){:root{
 --page:#12161b;--card:#1a2027;--line:#2e3741;--text:#e6eaee;--dim:#a3afbb;--track:#29323c;
 --accent:#6ea8fe;--pale:#3f6298;--hot:#f0954a;--good:#7ddba0;--good-bg:#173525;
 --bad:#ff9c94;--bad-bg:#45201d;--open:#f0cf6b;--open-bg:#3a3015}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
 font:15px/1.5 Inter,system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
 font-variant-numeric:tabular-nums}
main{max-width:1280px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;line-height:1.25;margin:0;overflow-wrap:anywhere;font-weight:650;
 letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 12px;font-weight:650}
h3{font-size:13px;margin:0 0 8px;font-weight:600;color:var(--dim)}
p{margin:0 0 10px}
header p{color:var(--dim);margin:4px 0 12px;overflow-wrap:anywhere}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
 overflow-wrap:anywhere}
.pill{display:inline-block;padding:3px 12px;border-radius:99px;font-weight:600;font-size:14px;
 margin:0 8px 6px 0}
.good{color:var(--good);background:var(--good-bg)}
.bad{color:var(--bad);background:var(--bad-bg)}
.open{color:var(--open);background:var(--open-bg)}
section,.tile{background:var(--card);border:1px solid var(--line);border-radius:10px}
section{padding:18px 20px;margin-top:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:12px;
 margin-top:14px}
.tile{padding:12px 16px}
.tile b{display:block;font-size:22px;line-height:1.3;font-weight:650;white-space:nowrap}
.tile span,.tile small{display:block;color:var(--dim);font-size:13px}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));
 gap:22px 36px}
.columns>div{min-width:0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:16px;
 margin-top:16px}
.pair section{margin-top:0;min-width:0}
.bars{list-style:none;margin:0;padding:0;display:grid;column-gap:12px;
 grid-template-columns:fit-content(34%) 1fr auto}
.bars li{display:grid;grid-column:1/-1;grid-template-columns:subgrid;align-items:center;
 padding:3px 0}
.bars .label{min-width:70px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;
 font-size:14px}
.bars .label small{color:var(--dim);margin-left:6px}
.bars .value{text-align:right;font-size:13px;color:var(--dim);white-space:nowrap}
svg{display:block}
.track{fill:var(--track)}.main{fill:var(--accent)}.pale{fill:var(--pale)}.hot{fill:var(--hot)}
.over{fill:var(--bad)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--dim);font-size:13px}
.legend span{display:inline-flex;align-items:center;gap:6px}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;color:var(--dim);font-weight:600;border-bottom:1px solid var(--line)}
td{border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
th,td{padding:6px 12px 6px 0;vertical-align:top;white-space:nowrap}
th:last-child,td:last-child{padding-right:2px}
.num{text-align:right}
td .pill{margin:0;padding:0 9px;font-size:13px}
.wrap{white-space:normal;overflow-wrap:anywhere;min-width:120px}
td small{display:block;color:var(--dim);max-width:230px;overflow:hidden;text-overflow:ellipsis}
tr.slow td:first-child{box-shadow:inset 3px 0 0 var(--hot);padding-left:10px}
dl{display:grid;grid-template-columns:auto 1fr;gap:4px 16px;margin:0;font-size:14px}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere;min-width:0}
.plain{margin:0;padding-left:18px;font-size:14px}
.plain li{overflow-wrap:anywhere}
.after{margin:12px 0 0;color:var(--dim);font-size:13px}
footer{color:var(--dim);font-size:13px;margin-top:22px}
@media (max-width:560px){main{padding:18px 12px 40px}section{padding:14px}h1{font-size:21px}
 .bars{grid-template-columns:1fr auto}.bars li{row-gap:2px;padding:5px 0}
 .bars svg{grid-column:1/3;grid-row:2}.tiles{grid-template-columns:1fr 1fr;gap:8px}
 .tile{padding:10px 12px}.tile b{font-size:18px}}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}
"""
