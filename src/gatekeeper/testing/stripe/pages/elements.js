/* A stand-in for Stripe.js, for tests and demos: the same calls and the same answers as far as this
 * goes, against the simulator that serves it. No card number that is not a test card means anything
 * here. Reference: https://docs.stripe.com/js
 *
 * It differs from Stripe.js in that its fields are in the page itself (in a shadow tree) and not in
 * a frame of another origin, and that it knows cards and SEPA debits alone.
 */
(() => {
  "use strict";

  const API = "{{ api }}";
  const API_VERSION = "2026-10-28.endive";

  class IntegrationError extends Error {
    constructor(message) {
      super(message);
      this.name = "IntegrationError";
    }
  }

  // The API

  const form = (params) => {
    const pairs = new URLSearchParams();
    const put = (name, value) => {
      if (value === undefined || value === null) return;
      if (typeof value === "object") {
        for (const [key, inner] of Object.entries(value)) put(`${name}[${key}]`, inner);
      } else {
        pairs.append(name, String(value));
      }
    };
    for (const [name, value] of Object.entries(params)) put(name, value);
    return pairs;
  };

  const caller = (key, account) => async (method, path, params = {}) => {
    const headers = { Authorization: `Bearer ${key}`, "Stripe-Version": API_VERSION };
    if (account) headers["Stripe-Account"] = account;
    const encoded = form(params);
    const get = method === "GET";
    const url = `${API}/v1/${path}${get ? `?${encoded}` : ""}`;
    try {
      const answer = await fetch(url, { method, headers, body: get ? undefined : encoded });
      return await answer.json();
    } catch (error) {
      const message = "We are experiencing issues connecting to our payments provider.";
      return { error: { type: "api_connection_error", message } };
    }
  };

  /* Both kinds of intents, and how their answers are called. */
  const KINDS = {
    pi: { path: "payment_intents", answer: "paymentIntent", error: "last_payment_error",
      query: "payment_intent" },
    seti: { path: "setup_intents", answer: "setupIntent", error: "last_setup_error",
      query: "setup_intent" },
  };

  const intentOf = (clientSecret, prefix) => {
    const found = /^((pi|seti)_[^_]+)_secret_.+$/.exec(String(clientSecret));
    if (!found || (prefix && found[2] !== prefix)) {
      throw new IntegrationError(
        `Invalid value for clientSecret: it should be a client secret of the form` +
          ` \${id}_secret_\${secret}. You specified: ${clientSecret}.`
      );
    }
    return { id: found[1], ...KINDS[found[2]] };
  };

  // Looks

  const LOOKS = {
    stripe: { colorPrimary: "#0570de", colorBackground: "#ffffff", colorText: "#30313d",
      colorDanger: "#b3093c", line: "#d5dbe1" },
    night: { colorPrimary: "#85d996", colorBackground: "#30313d", colorText: "#ffffff",
      colorDanger: "#fe87a1", line: "#5a5c6b" },
    flat: { colorPrimary: "#0570de", colorBackground: "#f1f3f5", colorText: "#30313d",
      colorDanger: "#b3093c", line: "transparent" },
  };

  const sheet = (appearance = {}) => {
    const look = { fontFamily: "inherit", fontSizeBase: "1rem", borderRadius: "5px",
      spacingUnit: "4px", ...(LOOKS[appearance.theme] || LOOKS.stripe),
      ...(appearance.variables || {}) };
    const line = look.line || "currentColor";
    const style = new CSSStyleSheet();
    style.replaceSync(`
      :host { display: block; font-family: ${look.fontFamily}; font-size: ${look.fontSizeBase} }
      * { box-sizing: border-box; font: inherit }
      .rows { display: grid; gap: calc(3 * ${look.spacingUnit}); grid-template-columns: 1fr 1fr }
      .wide { grid-column: 1 / -1 }
      label { display: block; font-size: .93em; margin-bottom: ${look.spacingUnit};
        color: ${look.colorText} }
      input, select { width: 100%; padding: .7em .75em; color: ${look.colorText};
        background: ${look.colorBackground}; border: 1px solid ${line};
        border-radius: ${look.borderRadius} }
      input::placeholder { color: ${look.colorText}; opacity: .6 }
      input:focus-visible, select:focus-visible, .tab:focus-within {
        outline: 2px solid ${look.colorPrimary}; outline-offset: 1px }
      input[aria-invalid=true] { border-color: ${look.colorDanger}; color: ${look.colorDanger} }
      .tabs { display: flex; gap: calc(2 * ${look.spacingUnit}); border: 0; padding: 0; margin: 0 }
      .tab { flex: 1; display: flex; gap: .5em; padding: .6em .75em; border: 1px solid ${line};
        border-radius: ${look.borderRadius}; background: ${look.colorBackground} }
      .tab label { margin: 0 }
      .tab input { width: auto }
      .problem { color: ${look.colorDanger}; font-size: .93em; margin: 0 }
      [hidden] { display: none !important }
      dialog { width: min(28rem, 94vw); height: 25rem; padding: 0; border: 0; border-radius: 10px }
      dialog::backdrop { background: rgb(0 0 0 / .55) }
      iframe { width: 100%; height: 100%; border: 0; display: block }
    `);
    return style;
  };

  const node = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  // What is typed

  const digits = (text) => text.replace(/\D/g, "");

  const luhn = (number) =>
    [...number].reverse().reduce((sum, digit, index) => {
      const doubled = index % 2 ? Number(digit) * 2 : Number(digit);
      return sum + (doubled > 9 ? doubled - 9 : doubled);
    }, 0) % 10 === 0;

  const spaced = (text) => digits(text).slice(0, 16).replace(/(.{4})(?=.)/g, "$1 ");

  const expiryOf = (text) => {
    const typed = digits(text).slice(0, 4);
    return typed.length > 2 ? `${typed.slice(0, 2)} / ${typed.slice(2)}` : typed;
  };

  const brandOf = (number) =>
    /^4/.test(number) ? "visa" : /^5[1-5]|^2[2-7]/.test(number) ? "mastercard"
      : /^3[47]/.test(number) ? "amex" : /^6/.test(number) ? "discover" : "unknown";

  const problem = (field, code, message) =>
    ({ field, type: "validation_error", code, message });

  /* The first thing that is wrong with a card; nothing, if it can be sent. */
  const cardProblem = ({ number, expiry, cvc }) => {
    const typed = digits(number);
    if (typed.length < (brandOf(typed) === "amex" ? 15 : 16)) {
      return problem("number", "incomplete_number", "Your card number is incomplete.");
    }
    if (!luhn(typed)) return problem("number", "invalid_number", "Your card number is invalid.");
    const [month, year] = [digits(expiry).slice(0, 2), digits(expiry).slice(2)];
    if (year.length < 2 || !(month >= 1 && month <= 12)) {
      return problem("expiry", "incomplete_expiry", "Your card's expiration date is incomplete.");
    }
    const end = new Date(2000 + Number(year), Number(month), 1);
    if (end <= new Date()) {
      return problem("expiry", "invalid_expiry_year_past",
        "Your card's expiration year is in the past.");
    }
    if (digits(cvc).length < 3) {
      return problem("cvc", "incomplete_cvc", "Your card's security code is incomplete.");
    }
    return null;
  };

  const debitProblem = ({ iban }) =>
    iban.replace(/\s/g, "").length < 15
      ? problem("iban", "incomplete_iban", "Your IBAN is incomplete.")
      : null;

  // Elements

  const COUNTRIES = { BE: "Belgium", FR: "France", DE: "Germany", IE: "Ireland",
    NL: "Netherlands", GB: "United Kingdom", US: "United States" };

  let count = 0;

  class Element {
    constructor(type, group, options) {
      this._type = type;
      this._group = group;
      this._options = options;
      this._heard = {};
      this._chosen = "card";
      this._host = null;
    }

    mount(where) {
      const place = typeof where === "string" ? document.querySelector(where) : where;
      if (!place) {
        throw new IntegrationError(
          `The selector you specified (${where}) applies to no DOM elements that are currently on` +
            " the page. Make sure the element exists on the page before calling mount()."
        );
      }
      this.unmount();
      this._host = node("div", { "data-stripe-element": this._type });
      this._root = this._host.attachShadow({ mode: "open" });
      this._root.adoptedStyleSheets = [sheet(this._group._options.appearance)];
      place.replaceChildren(this._host);
      this._render();
      this._begin();
    }

    /* Learn which kinds of payment methods the intent takes, then be ready. */
    async _begin() {
      const host = this._host;
      let types = this._group._options.paymentMethodTypes || ["card"];
      const secret = this._group._options.clientSecret;
      if (secret) {
        const found = await this._group._retrieve(secret);
        if (this._host !== host) return;
        if (found.error) {
          this._tell("loaderror", { error: found.error });
          return;
        }
        types = found.payment_method_types;
      }
      // What was typed meanwhile stays: nothing of the card's fields is made anew.
      if (this._type === "payment" && types.length > 1 && types.includes("sepa_debit")) {
        this._root.querySelector(".rows").prepend(this._tabs(`${this._name}-method`));
      }
      this._tell("ready", {});
    }

    _render() {
      const name = (this._name = `stripe-stand-in-${++count}`);
      const input = (key, label, attributes, wide) => {
        const id = `${name}-${key}`;
        const made = node("input", { id, autocomplete: "off", type: "text", ...attributes });
        this._inputs[key] = made;
        return node("div", wide ? { class: "wide" } : {}, node("label", { for: id }, label), made);
      };
      this._inputs = {};
      const numeric = { inputmode: "numeric" };
      const card = [
        input("number", "Card number", { ...numeric, placeholder: "1234 1234 1234 1234" }, true),
        input("expiry", "Expiration date", { ...numeric, placeholder: "MM / YY" }),
        input("cvc", "Security code", { ...numeric, placeholder: "CVC", maxlength: "4" }),
      ];
      if (this._type === "payment") card.push(this._country(name));
      const debit = input("iban", "IBAN", { placeholder: "DE00 0000 0000 0000 0000 00" }, true);
      const described = `${name}-problem`;
      this._problem = node("p",
        { id: described, class: "problem wide", role: "alert", hidden: "" });
      for (const made of Object.values(this._inputs)) {
        made.setAttribute("aria-describedby", described);
      }
      this._parts = { card, sepa_debit: [debit] };
      this._root.replaceChildren(node("div", { class: "rows" }, ...card, debit, this._problem));
      for (const [key, made] of Object.entries(this._inputs)) {
        made.addEventListener("input", () => this._typed(key, made));
        made.addEventListener("focus", () => this._tell("focus", {}));
        made.addEventListener("blur", () => this._tell("blur", {}));
        made.addEventListener("keydown", (event) => {
          if (event.key === "Escape") this._tell("escape", {});
        });
      }
      this._choose("card", false);
    }

    _country(name) {
      const id = `${name}-country`;
      this._select = node("select", { id });
      for (const [code, label] of Object.entries(COUNTRIES)) {
        this._select.append(node("option", { value: code, selected: code === "IE" && "" }, label));
      }
      return node("div", { class: "wide" }, node("label", { for: id }, "Country"), this._select);
    }

    _tabs(name) {
      const tab = (value, label) => {
        const id = `${name}-${value}`;
        const radio = node("input", { id, type: "radio", name, value,
          checked: value === "card" && "" });
        radio.addEventListener("change", () => this._choose(value, true));
        return node("div", { class: "tab" }, radio, node("label", { for: id }, label));
      };
      return node("fieldset", { class: "tabs wide", "aria-label": "Payment method" },
        tab("card", "Card"), tab("sepa_debit", "SEPA Debit"));
    }

    _choose(type, tell) {
      this._chosen = type;
      for (const [kind, parts] of Object.entries(this._parts)) {
        for (const part of parts) part.hidden = kind !== type;
      }
      this._show(null);
      if (tell) this._changed();
    }

    _typed(key, made) {
      if (key === "number") made.value = spaced(made.value);
      if (key === "expiry") made.value = expiryOf(made.value);
      if (key === "cvc") made.value = digits(made.value);
      this._show(null);
      this._changed();
    }

    _values() {
      return Object.fromEntries(Object.entries(this._inputs).map(([key, i]) => [key, i.value]));
    }

    _trouble() {
      const values = this._values();
      return this._chosen === "card" ? cardProblem(values) : debitProblem(values);
    }

    _changed() {
      const values = this._values();
      const used = this._chosen === "card" ? ["number", "expiry", "cvc"] : ["iban"];
      this._tell("change", {
        complete: this._trouble() === null,
        empty: used.every((key) => values[key] === ""),
        collapsed: false,
        error: undefined,
        value: { type: this._chosen },
        ...(this._type === "card" ? { brand: brandOf(digits(values.number)) } : {}),
      });
    }

    _show(trouble) {
      for (const [key, made] of Object.entries(this._inputs)) {
        if (trouble && trouble.field === key) made.setAttribute("aria-invalid", "true");
        else made.removeAttribute("aria-invalid");
      }
      this._problem.textContent = trouble ? trouble.message : "";
      this._problem.hidden = !trouble;
    }

    _method(details = {}) {
      const values = this._values();
      const country = this._select && this._select.value;
      const address = { ...(country ? { country } : {}), ...details.address };
      const billing_details = { ...details, address };
      if (this._chosen === "sepa_debit") {
        return { type: "sepa_debit", sepa_debit: { iban: values.iban }, billing_details };
      }
      const expiry = digits(values.expiry);
      const card = { number: digits(values.number), exp_month: Number(expiry.slice(0, 2)),
        exp_year: 2000 + Number(expiry.slice(2)), cvc: values.cvc };
      return { type: "card", card, billing_details };
    }

    _tell(name, event) {
      for (const listen of this._heard[name] || []) listen({ elementType: this._type, ...event });
    }

    on(name, listen) {
      (this._heard[name] ||= []).push(listen);
      return this;
    }

    once(name, listen) {
      const first = (event) => {
        this.off(name, first);
        listen(event);
      };
      return this.on(name, first);
    }

    off(name, listen) {
      this._heard[name] = (this._heard[name] || []).filter((one) => listen && one !== listen);
      return this;
    }

    update(options) {
      Object.assign(this._options, options);
    }

    focus() {
      this._inputs[this._chosen === "card" ? "number" : "iban"].focus();
    }

    blur() {
      if (this._root.activeElement) this._root.activeElement.blur();
    }

    clear() {
      for (const made of Object.values(this._inputs)) made.value = "";
      this._changed();
    }

    unmount() {
      if (this._host) this._host.remove();
      this._host = null;
    }

    destroy() {
      this.unmount();
      this._group._drop(this);
    }
  }

  class Elements {
    constructor(call, options) {
      this._call = call;
      this._options = { ...options };
      this._made = {};
      this._submitted = false;
      if (options.clientSecret !== undefined) intentOf(options.clientSecret);
      else if (options.mode !== undefined && !["payment", "setup", "subscription"]
        .includes(options.mode)) {
        throw new IntegrationError(
          `Invalid value for elements(): mode should be one of payment, setup, subscription.` +
            ` You specified: ${options.mode}.`
        );
      }
    }

    create(type, options = {}) {
      if (!["payment", "card"].includes(type)) {
        throw new IntegrationError(`The simulator's stand-in has no Element of type: ${type}.`);
      }
      if (this._made[type]) {
        throw new IntegrationError(
          `Can only create one Element of type ${type} through create(). Use getElement() to get` +
            " the element that was created."
        );
      }
      if (type === "payment" && !this._options.clientSecret && !this._options.mode) {
        throw new IntegrationError(
          "In order to create a payment element, you must pass a clientSecret or mode when" +
            " creating the Elements group."
        );
      }
      this._made[type] = new Element(type, this, { ...options });
      return this._made[type];
    }

    getElement(type) {
      return this._made[type] || null;
    }

    update(options) {
      Object.assign(this._options, options);
      for (const made of Object.values(this._made)) {
        if (made._root) made._root.adoptedStyleSheets = [sheet(this._options.appearance)];
      }
    }

    async fetchUpdates() {
      const found = this._options.clientSecret
        ? await this._retrieve(this._options.clientSecret)
        : {};
      return found.error ? { error: found.error } : {};
    }

    async submit() {
      const made = this._mounted();
      const trouble = made._trouble();
      made._show(trouble);
      if (trouble) {
        made._inputs[trouble.field].focus();
        const { field, ...error } = trouble;
        return { error };
      }
      this._submitted = true;
      return { selectedPaymentMethod: made._chosen };
    }

    _mounted() {
      const made = this._made.payment || this._made.card;
      if (!made || !made._host) {
        throw new IntegrationError(
          "Invalid value for stripe.confirmPayment(): elements should have a mounted Payment" +
            " Element or Express Checkout Element."
        );
      }
      return made;
    }

    _retrieve(clientSecret) {
      const intent = intentOf(clientSecret);
      return this._call("GET", `${intent.path}/${intent.id}`, { client_secret: clientSecret });
    }

    _drop(element) {
      delete this._made[element._type];
    }
  }

  // 3-D Secure: a page of the simulator in a dialog, which is done when it loads a second time.

  const authenticate = (url) =>
    new Promise((done) => {
      const host = node("div");
      const root = host.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [sheet()];
      const frame = node("iframe", { src: url, title: "3-D Secure" });
      const dialog = node("dialog", { "aria-label": "3-D Secure" }, frame);
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      let loads = 0;
      frame.addEventListener("load", () => {
        loads += 1;
        if (loads < 2) return;
        host.remove();
        done();
      });
      root.append(dialog);
      document.body.append(host);
      dialog.showModal();
    });

  const never = () => new Promise(() => {});

  const leaveFor = (returnUrl, intent, secret, status) => {
    const url = new URL(returnUrl, window.location.href);
    url.searchParams.set(intent.query, intent.id);
    url.searchParams.set(`${intent.query}_client_secret`, secret);
    url.searchParams.set("redirect_status", status);
    window.location.assign(url);
    return never();
  };

  const errorOf = (intent, answer) => ({
    error: { ...answer[intent.error], [intent.query]: answer },
  });

  // Stripe

  const build = (key, options) => {
    const call = caller(key, options.stripeAccount);

    const retrieve = (intent, secret) =>
      call("GET", `${intent.path}/${intent.id}`, { client_secret: secret });

    /* Go on with what the bank asks, until the intent asks for nothing more. */
    const goOn = async (intent, secret, answer) => {
      if (answer.error) return { error: answer.error };
      if (answer.status === "requires_action") {
        const action = answer.next_action;
        if (action.type === "redirect_to_url") {
          window.location.assign(action.redirect_to_url.url);
          return never();
        }
        await authenticate(action.use_stripe_sdk.stripe_js);
        answer = await retrieve(intent, secret);
        if (answer.error) return { error: answer.error };
      }
      if (answer.status === "requires_payment_method" && answer[intent.error]) {
        return errorOf(intent, answer);
      }
      return { [intent.answer]: answer };
    };

    const makeMethod = async (elements, details) => {
      const valid = await elements.submit();
      if (valid.error) return valid;
      return call("POST", "payment_methods", elements._mounted()._method(details));
    };

    const confirmWith = async (prefix, name, given) => {
      const { elements, confirmParams = {}, redirect = "always" } = given;
      const secret = given.clientSecret || (elements && elements._options.clientSecret);
      const intent = intentOf(secret, prefix);
      if (redirect !== "if_required" && !confirmParams.return_url) {
        throw new IntegrationError(
          `stripe.${name}(): the confirmParams.return_url argument is required unless` +
            ' redirect is "if_required".'
        );
      }
      if (elements && !elements._options.clientSecret && !elements._submitted) {
        throw new IntegrationError(
          `elements.submit() must be called before stripe.${name}().`
        );
      }
      let method = confirmParams.payment_method;
      if (elements && method === undefined) {
        const data = confirmParams.payment_method_data || {};
        const made = await makeMethod(elements, data.billing_details);
        if (made.error) return { error: made.error };
        method = made.id;
      }
      const answer = await call("POST", `${intent.path}/${intent.id}/confirm`, {
        client_secret: secret,
        payment_method: method,
        receipt_email: prefix === "pi" ? confirmParams.receipt_email : undefined,
        return_url: confirmParams.return_url,
        use_stripe_sdk: true,
      });
      const result = await goOn(intent, secret, answer);
      if (result.error || redirect === "if_required") return result;
      const status = result[intent.answer].status;
      const word = status === "processing" ? "pending" : "succeeded";
      return leaveFor(confirmParams.return_url, intent, secret, word);
    };

    /* The older calls: a saved payment method's id, or the card element. */
    const confirmCard = async (prefix, name, clientSecret, data = {}, { handleActions } = {}) => {
      const intent = intentOf(clientSecret, prefix);
      let method = data.payment_method;
      if (method && typeof method === "object") {
        const made = await makeMethod(method.card._group, method.billing_details);
        if (made.error) return { error: made.error };
        method = made.id;
      }
      const answer = await call("POST", `${intent.path}/${intent.id}/confirm`, {
        client_secret: clientSecret,
        payment_method: method,
        receipt_email: data.receipt_email,
        return_url: data.return_url,
        use_stripe_sdk: true,
      });
      if (handleActions === false && !answer.error) return { [intent.answer]: answer };
      return goOn(intent, clientSecret, answer);
    };

    const found = async (prefix, secret) => {
      const intent = intentOf(secret, prefix);
      const answer = await retrieve(intent, secret);
      return answer.error ? { error: answer.error } : { [intent.answer]: answer };
    };

    return {
      elements: (given = {}) => new Elements(call, given),
      confirmPayment: (given) => confirmWith("pi", "confirmPayment", given),
      confirmSetup: (given) => confirmWith("seti", "confirmSetup", given),
      confirmCardPayment: (...given) => confirmCard("pi", "confirmCardPayment", ...given),
      confirmCardSetup: (...given) => confirmCard("seti", "confirmCardSetup", ...given),
      retrievePaymentIntent: (secret) => found("pi", secret),
      retrieveSetupIntent: (secret) => found("seti", secret),
      handleNextAction: async ({ clientSecret }) => {
        const intent = intentOf(clientSecret);
        return goOn(intent, clientSecret, await retrieve(intent, clientSecret));
      },
      createPaymentMethod: async (given) => {
        const group = given.elements || (given.card && given.card._group);
        if (!group) {
          throw new IntegrationError("stripe.createPaymentMethod(): pass elements, or a card.");
        }
        const details = given.billing_details || (given.params || {}).billing_details;
        const made = await makeMethod(group, details);
        return made.error ? { error: made.error } : { paymentMethod: made };
      },
    };
  };

  window.Stripe = (key, options = {}) => {
    if (typeof key !== "string" || key === "") {
      throw new IntegrationError("Missing value for Stripe(): apiKey should be a string.");
    }
    if (/^[rs]k_/.test(key)) {
      throw new IntegrationError(
        "You should not use your secret key with Stripe.js. Please pass a publishable key instead."
      );
    }
    return build(key, options);
  };
  window.Stripe.version = 3;
})();
