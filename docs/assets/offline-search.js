/* The search runs in a worker. Browsers make none for a page that was opened as a file: there, a hidden frame stands in. */
(() => {
  if (location.protocol !== "file:") return;

  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      // Copies, as between a page and its worker: each side changes what it was given.
      inside.postMessage = (given) => this.tell("message", new MessageEvent("message", { data: structuredClone(given) }));
      inside.addEventListener("error", (event) => this.tell("error", new ErrorEvent("error", { message: event.message })));
      this.ready = new Promise((done, failed) => {
        const script = inside.document.createElement("script");
        script.src = url;
        script.onload = done;
        script.onerror = failed;
        inside.document.body.append(script);
      });
    }

    postMessage(given) {
      const inside = this.frame.contentWindow;
      const data = structuredClone(given);
      this.ready.then(
        () => inside.dispatchEvent(new inside.MessageEvent("message", { data })),
        () => this.tell("error", new ErrorEvent("error")),
      );
    }

    tell(kind, event) {
      setTimeout(() => {
        this.dispatchEvent(event);
        this[`on${kind}`]?.(event);
      });
    }

    terminate() {
      this.frame.remove();
    }
  }

  window.Worker = FrameWorker;
})();
