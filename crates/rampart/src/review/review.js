// Keys, and drafts that outlive the page. Everything works without this file, by mouse.
"use strict";
const form = document.querySelector("form.decide");
const press = (verdict) => form.querySelector(`button[value=${verdict}]`).click();
const go = (link) => document.querySelector(link)?.click();

if (form) {
  const fields = [...form.querySelectorAll("textarea, input.reason")];
  const name = (field) => `rampart-draft ${form.dataset.content} ${field.name}`;
  const decided = "decided" in form.dataset;
  for (const field of fields) {
    // What was sent and taken needs no draft; what was typed and not sent comes back.
    const draft = localStorage.getItem(name(field));
    if (draft !== null && decided && draft.trim() === field.value.trim()) {
      localStorage.removeItem(name(field));
    } else if (draft !== null && !document.querySelector(".error")) {
      field.value = draft;
      if (field.tagName === "TEXTAREA") form.querySelector("details").open = true;
    }
    field.addEventListener("input", () => localStorage.setItem(name(field), field.value));
  }
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) return event.preventDefault();
    const details = form.querySelector("details");
    if (event.submitter?.value === "fix" && !details.open) {
      event.preventDefault();
      details.open = true;
      return form.querySelector("textarea[name=secure]").focus();
    }
    const reason = form.querySelector(".reason");
    if (event.submitter?.value === "reject" && !reason.value.trim()) {
      event.preventDefault();
      return reason.focus();
    }
    sent = true;
  });
  window.addEventListener("pageshow", () => { sent = false; });
}

document.addEventListener("keydown", (event) => {
  const at = event.target;
  const typing = at.tagName === "TEXTAREA" || (at.tagName === "INPUT" && at.type === "text");
  if (event.key === "Escape") return at.blur();
  if (event.key === "Enter" && form && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    return press(at.name === "reason" ? "reject" : "fix");
  }
  if (event.key === "Enter" && form && at.classList?.contains("reason")) {
    event.preventDefault();
    return press("reject");
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    a: () => form && press("accept"),
    f: () => form && press("fix"),
    r: () => form && press("reject"),
    j: () => go("a[rel=next]"),
    k: () => go("a[rel=prev]"),
    n: () => go("a.brand"),
  };
  const action = keys[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});
