// Runs before the page is drawn, so that a chosen theme does not flash: says that scripts run, and which theme was chosen.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* a browser that keeps nothing follows the system */ }
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
})();
