"use strict";
// The table of devices, the curves' crosshair and the theme. Texts reach the page as text only, never as markup.
const otapress = (() => {
  const PAGE = 100;
  const CLIENT = 0, IMEI = 1, GROUP = 2, ROLLOUT = 3, RUNS = 4, TARGET = 5, STATE = 6, SILENT = 7, SEEN = 8, WHY = 9, TODO = 10, COMMENT = 11;
  const $ = (id) => document.getElementById(id);
  const dictionary = JSON.parse($("dictionary").textContent);
  const { now, states, groups, rollouts } = dictionary;
  const rows = [];
  let shown = [], page = 0, sort = { column: CLIENT, down: false };

  // What a search looks into, made with the first one.
  const haystacks = [];
  const haystack = (n) => haystacks[n] ??= [CLIENT, IMEI, RUNS, TARGET, WHY, COMMENT].map((c) => rows[n][c])
    .concat(groups[rows[n][GROUP]], states[rows[n][STATE]][0]).join("\n").toLowerCase();

  // As the page itself says it: the two largest units down to minutes.
  const span = (seconds) => {
    const units = [[86400, "d"], [3600, "h"], [60, "min"]];
    const first = units.findIndex(([unit]) => seconds >= unit);
    if (first < 0) return `${Math.max(0, seconds)} s`;
    const parts = [];
    for (const [unit, name] of units.slice(first, first + 2)) {
      const n = Math.floor(seconds / unit);
      seconds -= n * unit;
      if (n > 0) parts.push(`${n} ${name}`);
    }
    return parts.join(" ");
  };
  const moment = (seconds) => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
  const element = (name, className, ...content) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };
  // Commands in backquotes, and moments that are not broken at the end of a line.
  const rich = (text) => text.split(/(`[^`]*`|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)/).map((part, n) => {
    if (n % 2 === 0) return part;
    if (part.startsWith("`")) return element("code", "", part.slice(1, -1));
    const made = element("time", "", `${part.slice(0, 10)} ${part.slice(11, 16)}`);
    made.title = part;
    return made;
  });
  const number = (n) => n.toLocaleString("en-US");

  const versions = (text) => text.split(".").reduce((sum, part) => sum * 100 + Number(part || 0), 0) * (text.split(".").length < 3 ? 100 : 1);
  const keys = {
    [CLIENT]: (n) => n, [GROUP]: (n) => groups[rows[n][GROUP]], [RUNS]: (n) => versions(rows[n][RUNS]),
    [TARGET]: (n) => versions(rows[n][TARGET]), [STATE]: (n) => rows[n][STATE],
    // The one that was heard of last is first.
    [SEEN]: (n) => -rows[n][SEEN],
  };

  // A filter of the state is a state's name, a class of states, or `silent`.
  const wanted = (value) => {
    if (value === "") return () => true;
    if (value === "silent") return (row) => row[SILENT] === 1;
    const stopped = value === "waiting" ? "stopped" : "";
    return (row) => {
      const [name, , group] = states[row[STATE]];
      return name === value || group === value || (stopped !== "" && group === stopped);
    };
  };

  const find = (stay) => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const isWanted = wanted($("state").value), group = $("group").value, rollout = $("rollout").value;
    shown = [];
    for (let n = 0; n < rows.length; n++) {
      const row = rows[n];
      if (group !== "" && groups[row[GROUP]] !== group) continue;
      if (rollout !== "" && rollouts[row[ROLLOUT]] !== rollout) continue;
      if (isWanted(row) && words.every((word) => haystack(n).includes(word))) shown.push(n);
    }
    const key = keys[sort.column];
    if (sort.column !== CLIENT) {
      const made = new Map(shown.map((n) => [n, key(n)]));
      shown.sort((a, b) => (made.get(a) < made.get(b) ? -1 : made.get(a) > made.get(b) ? 1 : a - b));
    }
    if (sort.down) shown.reverse();
    if (stay !== true) page = 0;
    const filtered = words.length > 0 || $("state").value !== "" || group !== "" || rollout !== "";
    $("clear").hidden = !filtered;
    draw();
    remember();
  };

  const line = (row) => {
    const [, title, group] = states[row[STATE]];
    const device = element("th", "", row[CLIENT]);
    device.scope = "row";
    if (row[IMEI] !== row[CLIENT]) device.append(element("small", "", row[IMEI]));
    if (row[COMMENT]) device.append(element("small", "", row[COMMENT]));
    const heard = element("td", row[SILENT] ? "late" : "", row[SEEN] ? span(now - row[SEEN]) : "never");
    if (row[SEEN]) heard.title = moment(row[SEEN]);
    const why = element("td", "", ...rich(row[WHY]));
    if (row[TODO]) why.append(element("small", "", ...rich(row[TODO])));
    const runs = element("td", "", row[RUNS] || "–");
    return element("tr", "", device, element("td", "", groups[row[GROUP]] || "–"), runs,
      element("td", "", row[TARGET] || "–"), element("td", "", element("span", `pill ${group}`, title)), heard, why);
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(page, pages - 1);
    const body = document.querySelector("#table tbody");
    const part = shown.slice(page * PAGE, (page + 1) * PAGE).map((n) => line(rows[n]));
    if (part.length === 0) {
      const cell = element("td", "", rows.length < dictionary.devices ? "The devices are being loaded." : dictionary.devices === 0 ? "The fleet has no devices." : "No device is like that.");
      cell.colSpan = 7;
      part.push(element("tr", "empty", cell));
    }
    body.replaceChildren(...part);
    const loading = rows.length < dictionary.devices ? `, loading ${number(dictionary.devices)}` : "";
    $("found").textContent = shown.length === rows.length
      ? `${number(rows.length)} devices${loading}` : `${number(shown.length)} of ${number(rows.length)} devices${loading}`;
    $("page").textContent = `${number(page + 1)} of ${number(pages)}`;
    $("previous").disabled = page === 0;
    $("next").disabled = page + 1 >= pages;
    document.querySelector(".pager").hidden = pages === 1;
  };

  // What is looked for is in the address, so that it can be passed on.
  const fields = ["search", "state", "rollout", "group"];
  const remember = () => {
    const set = new URLSearchParams(fields.filter((id) => $(id).value !== "").map((id) => [id, $(id).value]));
    try { history.replaceState(null, "", set.size > 0 ? `#${set}` : location.pathname + location.search); } catch { /* Some browsers forbid it to files. */ }
  };
  const recall = () => {
    const set = new URLSearchParams(location.hash.slice(1));
    for (const id of fields) if (set.has(id)) $(id).value = set.get(id);
  };

  const option = (value, title) => { const made = element("option", "", title); made.value = value; return made; };
  const fill = () => {
    const classes = dictionary.classes.map(([name, title]) => option(name, name === "waiting" ? "waiting or stopped" : title));
    const exact = states.map(([name, title]) => option(name, title));
    const groupOf = (label, options) => { const made = element("optgroup", "", ...options); made.label = label; return made; };
    $("state").append(groupOf("in short", [...classes.filter((made) => made.value !== "stopped"), option("silent", "silent")]), groupOf("exactly", exact));
    $("rollout").append(...rollouts.map((name) => option(name, name)));
    $("group").append(...groups.filter((name) => name !== "").map((name) => option(name, name)));
    $("group").closest("label").hidden = groups.length < 2;
  };

  const listen = () => {
    let timer;
    $("search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, rows.length > 20000 ? 160 : 0); });
    for (const id of ["state", "rollout", "group"]) $(id).addEventListener("change", find);
    $("clear").addEventListener("click", () => { for (const id of fields) $(id).value = ""; find(); $("search").focus(); });
    const turn = (by) => { page += by; draw(); $("devices").scrollIntoView({ block: "start" }); };
    $("previous").addEventListener("click", () => turn(-1));
    $("next").addEventListener("click", () => turn(1));
    for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => {
      const column = Number(button.dataset.sort);
      sort = { column, down: sort.column === column && !sort.down };
      for (const head of document.querySelectorAll("#table th[aria-sort]")) head.removeAttribute("aria-sort");
      button.closest("th").setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      find();
    });
    for (const button of document.querySelectorAll("[data-filter]")) button.addEventListener("click", () => {
      $("search").value = "";
      $("group").value = "";
      $("state").value = button.dataset.filter;
      $("rollout").value = button.dataset.rollout ?? "";
      find();
      $("devices").scrollIntoView({ block: "start" });
      $("devices").focus({ preventScroll: true });
    });
    for (const chart of document.querySelectorAll("[data-chart]")) crosshair(chart);
  };

  const crosshair = (chart) => {
    const { times, series } = JSON.parse(chart.dataset.chart);
    const [svg, cross, tip] = ["svg", ".cross", ".tip"].map((selector) => chart.querySelector(selector));
    let at = times.length - 1;
    const show = (n) => {
      at = Math.max(0, Math.min(times.length - 1, n));
      const box = svg.getBoundingClientRect(), left = box.left - chart.getBoundingClientRect().left;
      const x = left + box.width * at / Math.max(1, times.length - 1);
      cross.hidden = tip.hidden = false;
      cross.style.left = `${x}px`;
      const counts = series.filter(([, , all]) => all[at] > 0).reverse();
      tip.replaceChildren(element("b", "", times[at]), ...counts.map(([name, colour, all]) =>
        element("p", "", element("span", "", element("i", `dot v${colour}`), name), element("b", "", number(all[at])))));
      const room = x + tip.offsetWidth + 14 < chart.offsetWidth;
      tip.style.left = `${room ? x + 12 : Math.max(0, x - tip.offsetWidth - 12)}px`;
    };
    const hide = () => { cross.hidden = tip.hidden = true; };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      show(Math.round((event.clientX - box.left) / box.width * (times.length - 1)));
    });
    svg.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -times.length, End: times.length }[event.key];
      if (event.key === "Escape") hide();
      if (by === undefined) return;
      event.preventDefault();
      show(cross.hidden ? at : at + by);
    });
  };

  const theme = () => {
    const names = { "": "as the system has them", light: "light", dark: "dark" };
    const order = ["", "light", "dark"];
    const set = (value) => {
      if (value === "") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = value;
      $("theme").setAttribute("aria-label", `Colours: ${names[value]}`);
      $("theme").title = `Colours: ${names[value]}`;
      $("theme").textContent = { "": "◐", light: "○", dark: "●" }[value];
    };
    let value = "";
    try { value = localStorage.getItem("otapress-theme") ?? ""; } catch { /* Not allowed to files everywhere. */ }
    set(order.includes(value) ? value : "");
    $("theme").addEventListener("click", () => {
      value = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length];
      set(value);
      try { localStorage.setItem("otapress-theme", value); } catch { /* As above. */ }
    });
  };

  // Files one after the other, in the order of the devices: the first page is there at once.
  const next = () => {
    const file = dictionary.files.shift();
    if (file === undefined) return;
    const script = document.createElement("script");
    script.src = file;
    script.onerror = () => { $("found").textContent = `${file} cannot be loaded: is it beside this page?`; };
    script.onload = () => { find(true); next(); };
    document.body.append(script);
  };

  theme();
  return {
    add: (part) => {
      for (const row of part.rows) {
        for (const column of [RUNS, TARGET, WHY, TODO, COMMENT]) row[column] = part.texts[row[column]];
        rows.push(row);
      }
    },
    load: () => { fill(); recall(); listen(); find(); next(); },
  };
})();
