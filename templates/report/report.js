"use strict";
// The table of devices, the curves' crosshair, local times, the refresh and the theme. Texts reach the page as
// text only, never as markup.
const otapress = (() => {
  const PAGE = 100;
  const CLIENT = 0, IMEI = 1, GROUP = 2, ROLLOUT = 3, RUNS = 4, TARGET = 5, STATE = 6, SILENT = 7, SEEN = 8, WHY = 9, TODO = 10, COMMENT = 11, TID = 12, MORE = 13, FACTS = 14;
  // How a device is not heard of, in the column SILENT.
  const QUIET = 1, LOST = 2;
  const $ = (id) => document.getElementById(id);
  let dictionary = JSON.parse($("dictionary").textContent);
  let { now, states, groups, rollouts } = dictionary;
  let rows = [], haystacks = [];
  let shown = [], page = 0, sort = { column: STATE, down: false };
  // The rows that are open, by IMEI: they stay so when the page is refreshed.
  const open = new Set();

  // What a search looks into, made with the first one: the fields of `otapress status --search`.
  const haystack = (n) => haystacks[n] ??= [CLIENT, IMEI, RUNS, TARGET, WHY, TODO, COMMENT, TID, MORE].map((c) => rows[n][c])
    .concat(...groups[rows[n][GROUP]], states[rows[n][STATE]][0]).join("\n").toLowerCase();

  // As the page itself says it: the two largest units down to minutes.
  const span = (seconds) => {
    const units = [[86400, "d"], [3600, "h"], [60, "min"]];
    const first = units.findIndex(([unit]) => seconds >= unit);
    if (first < 0) return `${Math.max(0, Math.floor(seconds))} s`;
    const parts = [];
    for (const [unit, name] of units.slice(first, first + 2)) {
      const n = Math.floor(seconds / unit);
      seconds -= n * unit;
      if (n > 0) parts.push(`${n} ${name}`);
    }
    return parts.join(" ");
  };
  const element = (name, className, ...content) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };
  const number = (n) => n.toLocaleString("en-US");

  // Moments in the reader's time; the title has UTC.
  const two = (n) => String(n).padStart(2, "0");
  const forms = {
    day: (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    clock: (at) => `${two(at.getHours())}:${two(at.getMinutes())}`,
  };
  const local = (at, form) => form in forms ? forms[form](at) : `${forms.day(at)} ${forms.clock(at)}`;
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = `${time.dateTime.slice(0, 16).replace("T", " ")} UTC`;
      if (time.dataset.form !== "words") time.textContent = local(at, time.dataset.form);
    }
  };
  const moment = (seconds) => {
    const made = element("time", "");
    made.dateTime = new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
    return made;
  };
  // Commands in backquotes, and moments that are not broken at the end of a line.
  const rich = (text) => text.split(/(`[^`]*`|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)/).map((part, n) => {
    if (n % 2 === 0) return part;
    if (part.startsWith("`")) return element("code", "", part.slice(1, -1));
    return moment(Date.parse(part) / 1000);
  });
  const command = (text) => {
    const button = element("button", "copy plain", "copy");
    button.type = "button";
    button.dataset.copy = text;
    button.setAttribute("aria-label", `copy ${text}`);
    return element("span", "command", element("code", "", text), button);
  };

  const versions = (text) => text.split(".").reduce((sum, part) => sum * 100 + Number(part || 0), 0) * (text.split(".").length < 3 ? 100 : 1);
  // What a person has to see to comes first: lost, then by state; a silent one before the rest of those that wait.
  const attention = (row) => {
    const rank = states[row[STATE]][3];
    return row[SILENT] === LOST ? 0 : row[SILENT] === QUIET ? Math.min(rank, 4) : rank;
  };
  const keys = {
    [CLIENT]: (n) => n, [IMEI]: (n) => rows[n][IMEI], [GROUP]: (n) => groups[rows[n][GROUP]][0],
    [RUNS]: (n) => versions(rows[n][RUNS]), [TARGET]: (n) => versions(rows[n][TARGET]),
    [STATE]: (n) => attention(rows[n]),
    // The one that was heard of last is first.
    [SEEN]: (n) => -rows[n][SEEN],
  };

  // A filter of the state is a state's name, a class of states, `silent` or `lost`.
  const wanted = (value) => {
    if (value === "") return () => true;
    if (value === "silent") return (row) => row[SILENT] > 0;
    if (value === "lost") return (row) => row[SILENT] === LOST;
    return (row) => {
      const [name, , group] = states[row[STATE]];
      return name === value || group === value;
    };
  };

  const find = (stay) => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const isWanted = wanted($("state").value), group = $("group").value, rollout = $("rollout").value;
    shown = [];
    for (let n = 0; n < rows.length; n++) {
      const row = rows[n];
      if (group !== "" && groups[row[GROUP]][0] !== group) continue;
      if (rollout !== "" && rollouts[row[ROLLOUT]] !== rollout) continue;
      if (isWanted(row) && words.every((word) => haystack(n).includes(word))) shown.push(n);
    }
    if (sort.column !== CLIENT) {
      const key = keys[sort.column], made = new Map(shown.map((n) => [n, key(n)]));
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
    const isOpen = open.has(row[IMEI]);
    const name = element("button", "open plain", row[CLIENT]);
    name.type = "button";
    name.dataset.open = row[IMEI];
    name.setAttribute("aria-expanded", String(isOpen));
    const device = element("th", "", name);
    device.scope = "row";
    if (row[COMMENT]) {
      const comment = element("small", "", row[COMMENT]);
      comment.title = row[COMMENT];
      device.append(comment);
    }
    const heard = element("td", row[SILENT] ? "late" : "", row[SEEN] ? span(now - row[SEEN]) : "never");
    if (row[SEEN]) {
      const at = moment(row[SEEN]);
      at.dataset.form = "words";
      at.textContent = heard.textContent;
      heard.replaceChildren(at);
    }
    const why = element("div", "why", ...rich(row[WHY]));
    if (row[TODO]) why.append(element("small", "", ...rich(row[TODO])));
    const state = element("span", `pill ${row[SILENT] === LOST ? "bad" : group}`, row[SILENT] === LOST ? "lost" : title);
    const made = [element("tr", isOpen ? "opened" : "", device, element("td", "imei", row[IMEI]), element("td", "", groups[row[GROUP]][0] || "–"),
      element("td", "", row[RUNS] || "–"), element("td", "", row[TARGET] || "–"), element("td", "", state), heard, element("td", "", why))];
    if (isOpen) made.push(details(row));
    return made;
  };

  // All that is known of a device: in the page for small fleets, else the command that prints it.
  const details = (row) => {
    const cell = element("td", "");
    cell.colSpan = groups.length < 2 ? 7 : 8;
    const list = element("dl", "facts");
    for (const [name, text] of row[FACTS] ?? []) list.append(element("dt", "", name), element("dd", "", ...rich(text)));
    if (row[FACTS]) cell.append(list);
    cell.append(element("p", "commands", command(`otapress status ${row[CLIENT]}`), command(`otapress show ${row[CLIENT]}`)));
    return element("tr", "details", cell);
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(page, pages - 1);
    const body = document.querySelector("#table tbody");
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.open : undefined;
    const part = shown.slice(page * PAGE, (page + 1) * PAGE).flatMap((n) => line(rows[n]));
    if (part.length === 0) {
      const cell = element("td", "", rows.length < dictionary.devices ? "The devices are being loaded." : dictionary.devices === 0 ? "The fleet has no devices." : "No device is like that.");
      cell.colSpan = groups.length < 2 ? 7 : 8;
      part.push(element("tr", "empty", cell));
    }
    body.replaceChildren(...part);
    localize(body);
    if (focused !== undefined) body.querySelector(`[data-open="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    const loading = rows.length < dictionary.devices ? `, loading ${number(dictionary.devices)}` : "";
    const all = `${number(rows.length)} ${rows.length === 1 ? "device" : "devices"}${loading}`;
    const found = shown.length === rows.length ? all : `${number(shown.length)} of ${all}`;
    // Said anew only if it has changed.
    if ($("found").textContent !== found) $("found").textContent = found;
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
    const chosen = fields.map((id) => $(id).value);
    const classes = dictionary.classes.map(([name, title]) => option(name, title));
    const exact = states.map(([name, title]) => option(name, title));
    const groupOf = (label, options) => { const made = element("optgroup", "", ...options); made.label = label; return made; };
    $("state").replaceChildren(option("", "all"), groupOf("in short", [...classes, option("silent", "silent"), option("lost", "lost")]), groupOf("exactly", exact));
    $("rollout").replaceChildren(option("", "all"), ...rollouts.map((name) => option(name, name)));
    $("group").replaceChildren(option("", "all"), ...groups.filter(([name]) => name !== "").map(([name]) => option(name, name)));
    $("group").closest("label").hidden = groups.length < 2;
    $("table").classList.toggle("groupless", groups.length < 2);
    fields.forEach((id, n) => { $(id).value = chosen[n]; });
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
    // What is replaced by a refresh is listened to from above.
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.copy !== undefined) copy(button);
      if (button?.dataset.open !== undefined) {
        const imei = button.dataset.open;
        if (!open.delete(imei)) open.add(imei);
        draw();
      }
      if (button?.dataset.filter === undefined) return;
      $("search").value = "";
      $("group").value = "";
      $("state").value = button.dataset.filter;
      $("rollout").value = button.dataset.rollout ?? "";
      find();
      $("devices").scrollIntoView({ block: "start" });
      $("devices").focus({ preventScroll: true });
    });
  };

  const copy = (button) => {
    const say = (word) => { button.textContent = word; setTimeout(() => { button.textContent = "copy"; }, 1500); };
    const write = navigator.clipboard?.writeText(button.dataset.copy) ?? Promise.reject(new Error("not here"));
    // Without the permission the command is selected, ready for the keyboard.
    write.then(() => say("copied"), () => { getSelection().selectAllChildren(button.previousElementSibling); say("selected"); });
  };

  const crosshair = (chart) => {
    const { times, series } = JSON.parse(chart.dataset.chart);
    const [svg, cross, tip] = ["svg", ".cross", ".tip"].map((selector) => chart.querySelector(selector));
    const say = (at, counts) => { chart.setAttribute("aria-valuenow", at); chart.setAttribute("aria-valuetext", `${local(new Date(times[at] * 1000))}: ${counts.map(([name, , all]) => `${number(all[at])} on ${name}`).join(", ") || "no device"}`); };
    let at = times.length - 1;
    const show = (n) => {
      at = Math.max(0, Math.min(times.length - 1, n));
      const box = svg.getBoundingClientRect(), left = box.left - chart.getBoundingClientRect().left;
      const x = left + box.width * at / Math.max(1, times.length - 1);
      cross.hidden = tip.hidden = false;
      cross.style.left = `${x}px`;
      const counts = series.filter(([, , all]) => all[at] > 0).reverse();
      say(at, counts);
      const head = element("b", "", moment(times[at]));
      tip.replaceChildren(head, ...counts.map(([name, colour, all]) =>
        element("p", "", element("span", "", element("i", `dot v${colour}`), name), element("b", "", number(all[at])))));
      localize(head);
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
  const crosshairs = (root) => { for (const chart of root.querySelectorAll("[data-chart]")) crosshair(chart); };

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

  const take = (part, into) => {
    for (const row of part.rows) {
      for (const column of [RUNS, TARGET, WHY, TODO, COMMENT, TID, MORE]) row[column] = part.texts[row[column]];
      if (row[FACTS]) row[FACTS] = row[FACTS].map(([name, text]) => [part.texts[name], part.texts[text]]);
      into.push(row);
    }
  };

  // Files one after the other, in the order of the devices: the first page is there at once.
  const next = () => {
    const file = dictionary.files[next.done ??= 0];
    if (file === undefined) { watch(); return; }
    next.done += 1;
    const script = document.createElement("script");
    script.src = file;
    script.onerror = () => { $("found").textContent = `${file} cannot be loaded: is it beside this page?`; };
    script.onload = () => { find(true); next(); };
    document.body.append(script);
  };

  // Where it is served, the page looks for news of itself, and nothing but what has changed is replaced.
  const isServed = location.protocol === "http:" || location.protocol === "https:";
  const live = { every: dictionary.files.length > 0 ? 60 : 10, heard: performance.now(), trouble: "" };
  // What stands in a call of `add`.
  const argument = (script) => JSON.parse(script.slice(script.indexOf("(") + 1, script.lastIndexOf(")")));

  const refresh = async () => {
    const get = async (path) => {
      const reply = await fetch(path, { cache: "no-store" });
      const text = await reply.text();
      if (!reply.ok) throw new Error(text.trim().split("\n")[0] || `status ${reply.status}`);
      return text;
    };
    const fresh = new DOMParser().parseFromString(await get(location.pathname + location.search), "text/html");
    const later = JSON.parse(fresh.getElementById("dictionary").textContent);
    if (later.now === now) return;
    const scripts = [...fresh.querySelectorAll("script[data-rows]")].map((script) => script.textContent);
    for (const file of later.files) scripts.push(await get(file));
    const all = [];
    for (const script of scripts) take(argument(script), all);
    dictionary = later;
    ({ now, states, groups, rollouts } = dictionary);
    rows = all;
    haystacks = [];
    for (const part of document.querySelectorAll("[data-live]")) renew(part, fresh.getElementById(part.id));
    fill();
    find(true);
  };

  // Replaces what an element holds; the focus and the chosen span of time stay.
  const was = new Map();
  const renew = (part, fresh) => {
    if (fresh === null || was.get(part.id) === fresh.innerHTML) return;
    was.set(part.id, fresh.innerHTML);
    const focusable = () => [...part.querySelectorAll("button, input, [tabindex]")];
    const focus = focusable().indexOf(document.activeElement);
    const checked = part.querySelector("input:checked")?.id;
    part.replaceChildren(...fresh.childNodes);
    localize(part);
    crosshairs(part);
    if (checked !== undefined && $(checked)) $(checked).checked = true;
    if (focus >= 0) focusable()[focus]?.focus({ preventScroll: true });
  };

  const watch = () => {
    const age = () => {
      const seconds = Math.max(0, Date.now() / 1000 - now), quiet = (performance.now() - live.heard) / 1000;
      const isStale = isServed ? quiet > 3 * live.every : seconds > 3600;
      $("age").className = isStale ? "stale" : "";
      const what = `${span(seconds)} old`;
      $("age").textContent = isStale && live.trouble ? `${what}, not refreshed: ${live.trouble}` : what;
    };
    age();
    setInterval(age, 1000);
    if (!isServed) return;
    const again = async () => {
      const begun = performance.now();
      if (!document.hidden) {
        try {
          await refresh();
          live.heard = performance.now();
          live.trouble = "";
        } catch (error) {
          live.trouble = error instanceof TypeError ? "the server does not answer" : error.message;
        }
        age();
      }
      // What takes long is done seldom.
      setTimeout(again, Math.max(live.every * 1000, 10 * (performance.now() - begun)));
    };
    setTimeout(again, live.every * 1000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().then(() => { live.heard = performance.now(); }, () => {}); });
  };

  theme();
  return {
    add: (part) => take(part, rows),
    load: () => { localize(document); crosshairs(document); fill(); recall(); listen(); find(); next(); },
    // For those who cannot wait.
    refresh,
  };
})();
