// What the pages of all examples do alike. No build, no framework.

export const $ = (id) => document.getElementById(id);

/** How long a page waits before it looks again; a browser test is less patient. */
export const POLL_MS = window.pollMs ?? 1_500;

/** POST JSON; the answer is fetch's. */
export const post = (url, body, headers = {}) => fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
});

/** What went wrong, in the words of the answer where it has some. */
export const reason = (body) => typeof body?.detail === "string" ? body.detail : "That did not work.";

export const thousands = (number) => number.toLocaleString("en");

/** An amount in minor units as people write it. */
export function money(minor, currency) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** A day as people write it, in the app's own time zone. */
export const day = (instant) => new Date(instant).toLocaleDateString("en", { day: "numeric", month: "long" });

/** A warning of GET me as a sentence. */
export function warningText({ code, at, amount, unit }) {
  const when = at && day(at);
  switch (code) {
    case "cancel_scheduled": return `Your plan ends on ${when}.`;
    case "credits_exhausted": return `You have used all your ${unit}.${when ? ` New ones come on ${when}.` : ""}`;
    case "credits_expiring": return `${thousands(amount)} ${unit} expire on ${when}.`;
    case "credits_low": return `Only ${thousands(amount)} ${unit} left.`;
    case "debt": return `New ${unit} first make up for ${thousands(amount)} that were refunded after use.`;
    case "frozen": return "Your account is on hold. Please get in touch.";
    case "paused": return "Your plan is paused.";
    case "payment_failing": return `Your last payment failed.${when ? ` You keep your plan until ${when}.` : ""}`;
    case "trial_ending": return `Your trial ends on ${when}.`;
    case "unpaid": return "Your plan waits for a payment.";
    default: return code;
  }
}

const AGAIN_MS = 5_000;

/** Hear what changes from GET events: a function for each kind. The browser reconnects by itself,
 *  and is told what it has missed; but not after a refusal, such as a 503: then we do. */
export function listen(handlers) {
  const source = new EventSource("/billing/events");
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(handlers), AGAIN_MS);
  });
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  return source;
}

let tellFailure = (text) => alert(text);

/** Say where a failure is told: a function of its text. */
export const onFailure = (tell) => { tellFailure = tell; };

/** Run something a button asked for: not twice at once, and never failing in silence. */
export async function busily(button, work) {
  button.disabled = true;
  try {
    await work();
  } catch {
    tellFailure("The app can't be reached. Try again.");
  } finally {
    button.disabled = false;
  }
}

/** The same work, one run after the other: so an older answer never covers a newer one. */
export function inTurn(work) {
  let last = Promise.resolve();
  return () => (last = last.catch(() => {}).then(work));
}

/** Ask for a link to a page of Stripe's and go there; `refused` runs before a refusal is told. */
export const follow = (button, url, body, refused = () => {}) => busily(button, async () => {
  const answer = await post(url, body);
  const found = await answer.json();
  if (answer.ok) {
    location.assign(found.url);
  } else {
    refused();
    tellFailure(reason(found));
  }
});

/** Show the simulator's day in #now, inside #demo, and move it a month by #clock. */
export async function clock(moved) {
  async function tell(answer) {
    const { now } = await (await answer).json();
    $("demo").hidden = now === null;
    $("now").textContent = now ?? "";
    return now;
  }
  $("clock").addEventListener("click", (event) => busily(event.target, async () => {
    await moved(await tell(post("/clock", { days: 31 })));
  }));
  await tell(fetch("/clock")).catch(() => {});
}

/** Stripe.js, or the simulator's stand-in for it: `(await stripeJs())(publishableKey)`. */
export function stripeJs() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/stage/stripe.js";
    script.onload = () => resolve(window.Stripe);
    script.onerror = () => reject(new Error("Stripe.js can't be loaded"));
    document.head.append(script);
  });
}
