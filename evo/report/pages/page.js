"use strict";
// Draws each picture when it comes near the part of the page that is seen, in the colours of the page's theme.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();
  const axisNames = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  function themed(figure, box) {
    const style = getComputedStyle(box);
    const colour = (name) => style.getPropertyValue(name).trim();
    const layout = structuredClone(figure.layout);
    const isNarrow = box.clientWidth < 500;
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true, hovermode: "closest",
      font: { color: colour("--text"), size: isNarrow ? 11 : 12, family: getComputedStyle(document.body).fontFamily },
      margin: { l: 56, r: isNarrow ? 14 : 24, t: 26, b: 56 },
      hoverlabel: { align: "left", bgcolor: colour("--box"), bordercolor: colour("--line"), font: { color: colour("--text") } },
    });
    delete layout.width;
    delete layout.height;
    const above = figure.layout.shapes && layout.annotations && layout.annotations.length ? 1.08 : 1.02;  // Labels of marks.
    layout.legend = { ...layout.legend, orientation: "h", x: 0, xanchor: "left", y: above, yanchor: "bottom" };
    for (const name of new Set(["xaxis", "yaxis", ...axisNames(layout)])) {
      const title = layout[name] && layout[name].title;
      if (title) title.standoff = 10;
      // Plotly would write a learning rate of 0.0001 as 100μ.
      const exponent = layout[name] && layout[name].type === "log" ? { exponentformat: "e" } : {};
      layout[name] = { ...exponent, gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true, ...layout[name] };
    }
    const data = structuredClone(figure.data);
    for (const trace of data) {
      // Optuna puts bars of colour beside its pictures; on a narrow page they go, since there is no room for them.
      for (const part of [trace, trace.marker]) {
        if (!part) continue;
        if (part.colorbar) part.colorbar = { title: part.colorbar.title, thickness: 10, len: 0.9, xpad: 4, outlinewidth: 0 };
        if (isNarrow && (part.colorbar || part.showscale)) part.showscale = false;
      }
    }
    return { data, layout };
  }

  function draw(box) {
    const figure = JSON.parse(box.parentElement.querySelector('script[type="application/json"]').textContent);
    const { data, layout } = themed(figure, box);
    const named = data.filter((trace) => trace.showlegend).length;
    box.dataset.height ||= box.clientHeight;
    const more = box.clientWidth < 500 && named > 3 ? 16 * named : 0;  // Where the legend needs a line for each.
    box.style.height = `${Number(box.dataset.height) + more}px`;
    drawn.add(box);
    Plotly.react(box, data, layout, { responsive: true, displaylogo: false, displayModeBar: "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"], topojsonURL: "", plotlyServerURL: "" })
      .catch((error) => fail(box, error));
  }

  function fail(box, error) {
    box.classList.add("failed");
    box.textContent = `This picture could not be drawn: ${error && error.message || error}`;
    console.error(error);
  }

  function tryToDraw(box) {
    try { draw(box); } catch (error) { fail(box, error); }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      tryToDraw(entry.target);
    }
  }, { rootMargin: "900px" });
  document.querySelectorAll(".picture").forEach((box) => watcher.observe(box));
  dark.addEventListener("change", () => drawn.forEach(tryToDraw));
  window.addEventListener("beforeprint", () => document.querySelectorAll(".picture").forEach((box) => drawn.has(box) || tryToDraw(box)));

  // Only a page that evo report --serve has made asks whether there is a newer one.
  const renew = document.getElementById("renew");
  if (renew) {
    const choice = renew.querySelector("input");
    choice.checked = sessionStorage.getItem("renew") !== "no";
    choice.addEventListener("change", () => sessionStorage.setItem("renew", choice.checked ? "yes" : "no"));
    setInterval(async () => {
      if (!choice.checked || document.hidden) return;
      try {
        const answer = await fetch("version", { cache: "no-store" });
        if (answer.ok && (await answer.text()) !== renew.dataset.version) location.reload();
      } catch { /* The server has ended; what is shown stays. */ }
    }, 5000);
  }
})();
