/** The elements of the page that the program fills; no text of a source is in them. */

/** What is between `<body>` and the data. */
export const PAGE_BODY = `\
<main>
<p id="problem" class="problem" role="alert" hidden></p>
<noscript><p class="problem">The map is drawn by a script in this file. It makes no requests.</p></noscript>
<div class="tools">
<label>Keys <select id="key-scale"><option value="ranks">by rank</option><option value="true">true scale</option></select></label>
<label>LSNs <select id="lsn-scale"><option value="ranks">by rank</option><option value="true">true scale</option></select></label>
<span role="group" aria-label="Zoom">
<button type="button" id="zoom-in" aria-label="Zoom in">+</button>
<button type="button" id="zoom-out" aria-label="Zoom out">−</button>
<button type="button" id="show-all">Show all</button>
</span>
<form id="search" role="search">
<label>Read <input type="text" id="query" autocomplete="off" spellcheck="false" placeholder="rel=1663/5/16384 blkno=7 @ 0/16B3748" aria-label="Key, @, and LSN of a read"></label>
<button type="submit">Follow</button>
</form>
</div>
<section class="snapshots" id="snapshots" aria-label="Steps" hidden>
<button type="button" id="snapshot-before" aria-label="Step before">◀</button>
<input type="range" id="snapshot" min="0" step="1" aria-label="Step">
<button type="button" id="snapshot-after" aria-label="Next step">▶</button>
<span id="snapshot-label"></span>
<p id="changes" aria-live="polite"></p>
</section>
<div class="stage">
<canvas id="map" tabindex="0" role="application" aria-label="Map of the layers: keys from left to right, LSNs from bottom to top. The same layers are in the table below." aria-describedby="help"></canvas>
</div>
<p id="pointer" aria-hidden="true"></p>
<ul class="legend" aria-label="Legend">
<li><span class="swatch image"></span>image</li>
<li><span class="swatch l1"></span>L1 delta</li>
<li><span class="swatch l0"></span>L0 delta</li>
<li><span class="swatch covered"></span>covered: no read reaches it</li>
<li id="legend-hole"><span class="swatch hole"></span>hole: no image and no L1</li>
<li id="legend-changes"><span class="swatch added"></span>added <span class="swatch removed"></span>removed</li>
<li><span class="line"></span>disk consistent</li>
<li><span class="line cutoff"></span>GC cutoff</li>
<li id="legend-branch"><span class="line branch"></span>branch</li>
<li><span class="line path"></span>path of a read</li>
</ul>
<div class="panels">
<section class="panel" id="details-panel" aria-labelledby="details-title" hidden>
<h2 id="details-title">Selected layer</h2>
<div id="details" aria-live="polite"></div>
</section>
<section class="panel" id="path-panel" aria-labelledby="path-title" hidden>
<h2 id="path-title">Path of a read</h2>
<div id="path" aria-live="polite"></div>
</section>
</div>
<details id="left-out" hidden>
<summary id="left-out-title"></summary>
<ul id="left-out-names"></ul>
</details>
<details id="list">
<summary id="list-title"></summary>
<p>
<label>Order <select id="list-order"><option value="newest">newest first</option><option value="key">by key</option><option value="largest">largest first</option></select></label>
<button type="button" id="list-before">Previous</button>
<button type="button" id="list-after">Next</button>
<span id="list-place" aria-live="polite"></span>
</p>
<div class="scroll"><table aria-labelledby="list-title"><thead><tr id="list-head"></tr></thead><tbody id="list-rows"></tbody></table></div>
</details>
<details id="help">
<summary>How to use the map</summary>
<p>Drag to move. Turn the wheel or pinch to zoom; beside an axis, or with <kbd>Shift</kbd> (keys) or <kbd>Alt</kbd> (LSNs), only that axis. Click a layer to select it, double-click to zoom to it. <kbd>Shift</kbd> and click follows a read from there.</p>
<p>With the map focused: arrow keys move, with <kbd>Shift</kbd> further; <kbd>+</kbd> and <kbd>-</kbd> zoom, <kbd>0</kbd> shows all; <kbd>n</kbd> and <kbd>p</kbd> select the next and the previous layer, <kbd>Enter</kbd> zooms to it, <kbd>r</kbd> follows a read of its first key, <kbd>Esc</kbd> clears.</p>
<p>By rank, each border between layers has the same distance to the next; on a true scale, distances are those of the keys and LSNs themselves. A read goes down from its LSN, layer by layer. It ends at a value that needs nothing below, at the latest in an image.</p>
</details>
</main>
<div id="tooltip" aria-hidden="true" hidden></div>
`;
