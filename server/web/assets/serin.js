// Keeps an open page up to date: when the daemon says that something has changed, the page is read again, and the parts that
// differ are replaced, except those that the reader types into or has opened to act. It also writes times in the reader's own
// zone, and shows the values of charts under the pointer.
"use strict";
(function () {
  // The server writes times in UTC. This writes them in the reader's own zone, or as how long ago they were.
  function two(n) { return (n < 10 ? "0" : "") + n; }
  var months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function day(t) { return t.getDate() + " " + months[t.getMonth()]; }
  function hour(t) { return two(t.getHours()) + ":" + two(t.getMinutes()); }
  function clock(t, now) {
    if (t.getFullYear() !== now.getFullYear()) { return day(t) + " " + t.getFullYear() + " " + hour(t); }
    if (t.toDateString() !== now.toDateString()) { return day(t) + " " + hour(t); }
    return hour(t) + ":" + two(t.getSeconds());
  }
  function roughly(t, now) {
    var s = Math.floor((now - t) / 1000), n = function (unit, word) { var k = Math.floor(s / unit); return k + " " + word + (k === 1 ? "" : "s"); };
    if (s < 2) { return "a second"; }
    if (s < 60) { return s + " s"; }
    if (s < 3600) { return Math.floor(s / 60) + " min"; }
    return s < 86400 ? n(3600, "hour") : n(86400, "day");
  }
  function written(kind, t, now) {
    if (kind === "for") { return "for " + roughly(t, now); }
    return kind === "ago" && now - t < 7 * 86400000 ? roughly(t, now) + " ago" : clock(t, now);
  }
  function times(root) {
    var now = new Date();
    root.querySelectorAll("time[datetime]").forEach(function (e) {
      var t = new Date(e.dateTime);
      if (isNaN(t)) { return; }
      var text = written(e.className, t, now);
      if (e.textContent !== text) { e.textContent = text; }
      e.title = day(t) + " " + t.getFullYear() + " " + hour(t) + ":" + two(t.getSeconds());
    });
  }

  // Days in a filter are those of the reader's zone, unless the page already filters by days of another zone.
  if (window.Intl) {
    document.querySelectorAll("form").forEach(function (f) {
      var field = f.querySelector("input[name=zone]"), own = Intl.DateTimeFormat().resolvedOptions().timeZone;
      if (!field || !own || f.querySelector("#from").value || f.querySelector("#to").value) { return; }
      field.value = own;
      f.querySelectorAll(".zone").forEach(function (e) { e.textContent = own; });
    });
  }

  // The times in a list to choose from are part of its texts: options cannot hold elements.
  document.querySelectorAll("option[data-at]").forEach(function (o) {
    var t = new Date(o.dataset.at);
    if (!isNaN(t)) { o.textContent = o.textContent.slice(0, o.textContent.lastIndexOf(",")) + ", " + clock(t, new Date()); }
  });

  // The server draws charts. Their axes get the reader's own time. All charts with the same time axis show their values for
  // the time under the pointer.
  function charts(root) {
    root.querySelectorAll(".timeline figure").forEach(function (f) {
      var r = f.querySelector(".readout");
      if (!f.querySelector(".hover[data-at]")) { return; }
      r.tabIndex = 0;
      r.setAttribute("role", "slider");
      r.setAttribute("aria-label", f.querySelector("svg title").textContent + ": the values at a time");
      tell(r, null, []);
    });
    root.querySelectorAll("svg.serin-chart [data-at]").forEach(function (e) {
      var t = new Date(+e.dataset.at), title = e.querySelector("title");
      if (title) {
        e.dataset.says = title.textContent.slice(title.textContent.indexOf(": ") + 2);
        title.remove();
      } else if (/[A-Za-z]/.test(e.textContent)) {
        e.textContent = day(t);
      } else {
        e.textContent = e.textContent.length > 5 ? hour(t) + ":" + two(t.getSeconds()) : hour(t);
      }
    });
  }
  // The text next to a chart is a slider over its times: the arrow keys move it, and a screen reader reads its value.
  function tell(r, field, all) {
    var says = field ? clock(new Date(+field.dataset.at), new Date()) + ": " + field.dataset.says : "";
    r.textContent = says;
    if (!r.hasAttribute("role")) { return; }
    r.setAttribute("aria-valuemin", 0);
    r.setAttribute("aria-valuemax", Math.max(all.length - 1, 0));
    r.setAttribute("aria-valuenow", Math.max(all.indexOf(field), 0));
    r.setAttribute("aria-valuetext", says || "no time is chosen");
  }
  // fields returns the times that one can point at in a chart: a figure has a wide and a narrow chart, and shows one.
  function fields(figure) {
    var drawn = Array.prototype.find.call(figure.querySelectorAll("svg.serin-chart"), function (s) { return s.getClientRects().length; });
    return drawn ? Array.prototype.slice.call(drawn.querySelectorAll(".hover[data-at]")) : [];
  }
  function nearest(figure, at) {
    var all = figure ? fields(figure) : [];
    return all.reduce(function (best, f) {
      return best === null || Math.abs(f.dataset.at - at) < Math.abs(best - at) ? +f.dataset.at : best;
    }, null);
  }
  var chosen = null;
  function point(at) {
    chosen = at;
    document.querySelectorAll(".hover.on").forEach(function (e) { e.classList.remove("on"); });
    document.querySelectorAll(".timeline figure").forEach(function (f) {
      var all = at === null ? [] : fields(f), field = all.find(function (e) { return +e.dataset.at === at; });
      if (field) { field.classList.add("on"); }
      tell(f.querySelector(".readout"), field || null, all);
    });
  }
  function pointed(e) {
    var field = e.target.closest && e.target.closest(".timeline .hover[data-at]");
    if (field || !document.querySelector(".readout:focus")) { point(field ? +field.dataset.at : null); }
  }
  document.addEventListener("pointerover", pointed);
  document.addEventListener("pointerdown", pointed);
  document.addEventListener("focusin", function (e) {
    if (!e.target.matches(".readout")) { return; }
    var all = fields(e.target.closest("figure"));
    if (all.length && !all.some(function (f) { return +f.dataset.at === chosen; })) { point(+all[all.length - 1].dataset.at); }
  });
  document.addEventListener("focusout", function (e) {
    if (e.target.matches(".readout")) { point(null); }
  });

  // At a chart the arrow keys do what the pointer does. Escape closes an action's confirmation.
  document.addEventListener("keydown", function (e) {
    if (e.isComposing || e.ctrlKey || e.altKey || e.metaKey) { return; }
    var ask = e.key === "Escape" && document.querySelector("details.ask[open]");
    if (ask) {
      ask.open = false;
      ask.querySelector("summary").focus();
      return;
    }
    var step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity }[e.key];
    if (!step || !e.target.matches(".readout")) { return; }
    var times = fields(e.target.closest("figure")).map(function (f) { return +f.dataset.at; });
    if (!times.length) { return; }
    e.preventDefault();
    // The next or previous time after the chosen one, even if a live update has removed that one from the chart.
    var before = times.filter(function (t) { return chosen !== null && t < chosen; }), after = times.filter(function (t) { return chosen === null || t > chosen; });
    if (step < 0) {
      point(step === -1 && before.length ? before[before.length - 1] : times[0]);
    } else {
      point(step === 1 && after.length ? after[0] : times[times.length - 1]);
    }
  });

  // Dragging over a chart shows that part of the time.
  var drag = null;
  function along(svg, x) {
    var box = svg.getBoundingClientRect(), d = svg.dataset;
    return Math.min(Math.max((x - box.left) / box.width * svg.viewBox.baseVal.width, +d.left), +d.right);
  }
  document.addEventListener("pointerdown", function (e) {
    var svg = e.target.closest && e.target.closest(".timeline svg[data-from]");
    if (!svg || e.pointerType !== "mouse" || e.button !== 0) { return; }
    e.preventDefault();
    drag = { svg: svg, at: along(svg, e.clientX), x: e.clientX, field: document.createElementNS("http://www.w3.org/2000/svg", "rect") };
    drag.field.setAttribute("class", "zooming");
    drag.field.setAttribute("y", "0");
    drag.field.setAttribute("height", "100%");
    svg.appendChild(drag.field);
  });
  document.addEventListener("pointermove", function (e) {
    if (!drag) { return; }
    var to = along(drag.svg, e.clientX);
    drag.field.setAttribute("x", Math.min(drag.at, to));
    drag.field.setAttribute("width", Math.abs(to - drag.at));
  });
  document.addEventListener("pointerup", function (e) {
    if (!drag) { return; }
    var d = drag.svg.dataset, ends = [drag.at, along(drag.svg, e.clientX)].sort(function (a, b) { return a - b; });
    drag.field.remove();
    var far = Math.abs(e.clientX - drag.x) > 8;
    drag = null;
    if (!far) { return; }
    var when = ends.map(function (x) {
      return new Date(+d.from + (x - d.left) / (d.right - d.left) * (d.to - d.from)).toISOString().replace(/\.\d+Z/, "Z");
    });
    var to = new URL(location.href);
    to.search = new URLSearchParams({ from: when[0], to: when[1] });
    to.hash = "timeline-title";
    location.assign(to);
  });

  times(document);
  charts(document);
  setInterval(function () { times(document); }, 5000);
  var zone = document.getElementById("zone");
  if (zone && window.Intl) { zone.textContent = "times are in your zone, " + Intl.DateTimeFormat().resolvedOptions().timeZone; }

  // The notice of what was just done is shown once: not again when the page is reloaded.
  if (/[?&]done=/.test(location.search)) {
    var here = new URL(location.href);
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
    setTimeout(function () { document.querySelectorAll(".notice").forEach(function (n) { n.remove(); }); }, 8000);
  }

  var address = document.body.dataset.live;
  var sign = document.getElementById("live");
  if (!address || !sign || !window.EventSource) { return; }
  var words = document.getElementById("live-text");
  var reading = false, again = false, over = false;

  function say(state, text) {
    sign.hidden = false;
    sign.className = "live " + state;
    words.textContent = text;
  }

  // The dot beats once for each answer. Would it beat all the time, the browser would draw the page sixty times a second.
  function beat() {
    var dot = sign.querySelector(".beat");
    if (dot && dot.animate && !matchMedia("(prefers-reduced-motion: reduce)").matches) { dot.animate({ opacity: [1, 0.35, 1] }, 800); }
  }

  function busy(part) {
    var at = document.activeElement;
    if (part.querySelector("details.ask[open]")) { return true; }
    if (!at || !part.contains(at)) { return false; }
    return at.matches("textarea, input, select") || !!at.closest("form, details.ask");
  }

  // typed are the fields of a part in which somebody has begun to write.
  function typed(part) {
    return Array.prototype.filter.call(part.querySelectorAll("textarea, input:not([type]), input[type=text]"), function (e) { return e.value !== e.defaultValue; });
  }

  // question is what a form answers: where it is sent, and for which gate.
  function question(form) {
    var hidden = Array.prototype.map.call(form.querySelectorAll("input[type=hidden]:not([name=csrf])"), function (e) { return e.name + "=" + e.value; });
    return [form.getAttribute("action")].concat(hidden).join(" ");
  }

  // keep writes what was begun into the same field, as long as the question is still the same.
  function keep(part, begun) {
    begun.forEach(function (e) {
      var form = e.form && Array.prototype.find.call(part.querySelectorAll("form"), function (f) { return question(f) === question(e.form); });
      var field = form && form.elements.namedItem(e.name);
      if (field) { field.value = e.value; }
    });
  }

  // called identifies an element, to find it again in a part that was replaced; several may have the same identity.
  function called(e) {
    return e.id || e.getAttribute("href") || e.matches("summary") && e.parentNode.dataset.key || e.getAttribute("aria-label");
  }

  function alike(part, name) {
    return !name ? [] : Array.prototype.filter.call(part.querySelectorAll("a[href], summary, [tabindex]"), function (e) { return called(e) === name; });
  }

  function replace(part, fresh) {
    if (part.innerHTML === fresh.innerHTML || busy(part) || drag && part.contains(drag.svg)) { return; }
    var open = Array.prototype.map.call(part.querySelectorAll("details[open][data-key]"), function (d) { return d.dataset.key; });
    var focus = part.contains(document.activeElement) && document.activeElement, name = focus && called(focus), nth = focus && alike(part, name).indexOf(focus);
    var at = part.querySelector(".hover.on") ? chosen : null;
    var begun = typed(part);
    part.replaceChildren.apply(part, Array.prototype.slice.call(fresh.childNodes));
    part.querySelectorAll("details[data-key]").forEach(function (d) { d.open = open.indexOf(d.dataset.key) >= 0; });
    keep(part, begun);
    var same = focus ? alike(part, name) : [], to = same[nth] || same[0];
    if (at !== null) { point(nearest(to && to.closest(".timeline figure") || part.querySelector(".timeline figure"), at)); }
    if (to) { to.focus({ preventScroll: true }); }
  }

  function take(html) {
    var fresh = new DOMParser().parseFromString(html, "text/html");
    times(fresh);
    charts(fresh);
    var before = document.querySelector("[data-announce]");
    before = before && before.textContent.split(";")[0];
    document.title = fresh.title;
    document.querySelectorAll("[data-live][id]").forEach(function (part) {
      var other = fresh.getElementById(part.id);
      if (other) { replace(part, other); }
    });
    var after = fresh.querySelector("[data-announce]") || document.querySelector("[data-announce]");
    after = after && after.textContent.split(";")[0];
    if (after && after !== before) { document.getElementById("announce").textContent = after; }
    beat();
    if (!fresh.body.dataset.live) { over = true; source.close(); say("off", "ended"); }
  }

  function read() {
    if (reading) { again = true; return; }
    reading = true;
    fetch(location.href, { headers: { "X-Serin-Live": "1" }, credentials: "same-origin", redirect: "error" })
      .then(function (answer) {
        if (answer.status === 401) {
          over = true;
          source.close();
          say("off", "signed out");
          if (answer.headers.get("Serin-Sign-In") && !typed(document).length && !busy(document)) { location.reload(); } // the provider confirms who it is, mostly without a click
          return null;
        }
        return answer.ok ? answer.text() : null;
      })
      .then(function (html) { if (html) { take(html); } })
      .catch(function () { if (!over) { say("off", "no connection"); } })
      .finally(function () { reading = false; if (again && !over) { again = false; read(); } });
  }

  // A part that was left alone because of an open confirmation is updated once that is closed.
  document.addEventListener("toggle", function (e) {
    if (e.target.matches && e.target.matches("details.ask") && !e.target.open) { read(); }
  }, true);

  var source = new EventSource(address);
  source.onopen = function () { say("on", "live"); };
  source.onerror = function () { if (!over) { say("off", "connecting"); } };
  source.addEventListener("changed", read);
  source.addEventListener("ended", read);
  window.addEventListener("pagehide", function () { source.close(); });
})();
