"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("form");
  const controls = [...form.elements].filter((control) => control.name);
  const frame = byId("plan");
  let shown = Number(frame.dataset.shown);
  let told = null;
  let drawing = "";
  let sent = Promise.resolve();

  // Requests go out one after the other, so that the latest edit arrives last.
  const post = (path, body = "") => {
    sent = sent.then(() => fetch(path, { method: "POST", body })).then(
      async (answer) => { if (!answer.ok) byId("problem").textContent = await answer.text(); },
      () => { byId("problem").textContent = "rackplan does not answer; is it still running?"; },
    );
  };

  const texts = () => Object.fromEntries(controls.map((control) => [control.name, control.value]));
  let asked = texts();

  const edit = () => {
    asked = texts();
    post("/edit", JSON.stringify(asked));
  };

  // The new plan's page takes the old one's place, scrolled as that was.
  const load = (number) => {
    const place = frame.contentWindow.scrollY;
    frame.addEventListener("load", () => {
      frame.contentWindow.scrollTo(0, place);
      drawing = "";
      report();
    }, { once: true });
    drawing = "drawing the plan ...";
    frame.contentWindow.location.replace(`/plan?${number}`);
  };

  // The form says what the plan was made for; what is just being typed stays.
  const fill = (state) => {
    for (const control of controls) {
      if (control === document.activeElement && control.value !== asked[control.name]) continue;
      control.value = state.fields[control.name];
      control.placeholder = state.hints[control.name];
    }
  };

  const list = (lines) => {
    byId("difference").hidden = lines.length === 0;
    byId("changes").replaceChildren(...lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
  };

  const PHASES = { ready: "", solving: "solving ...", confirming: "the plan stands; replaying it to confirm its promises ..." };

  const report = () => { byId("progress").textContent = told.progress || PHASES[told.phase] || drawing; };

  const tell = (state) => {
    told = state;
    byId("problem").textContent = state.problem;
    byId("undo").disabled = !state.undo;
    byId("stop").disabled = state.phase === "ready";
    list(state.changes);
    if (state.shown !== shown) {
      shown = state.shown;
      fill(state);
      load(shown);
    }
    report();
  };

  form.addEventListener("change", edit);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["undo", "stop"]) byId(name).addEventListener("click", () => post(`/${name}`));
  new EventSource("/events").addEventListener("message", (event) => tell(JSON.parse(event.data)));
})();
