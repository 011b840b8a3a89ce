const params = new URLSearchParams(location.search);
const chosen = params.get("collection");

// Where keys are demanded, the reader types one; this tab remembers it until it is closed.
const REMEMBERED = "persist-key";
let key = sessionStorage.getItem(REMEMBERED);

const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

// NDJSON is text of many lines; Swagger UI sees "json" in its name and would quote the example.
const linesAsTheyAre = {
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, type, config, example) =>
      type === "application/x-ndjson" && example ? example : sample(schema, type, config, example);
  },
};

// A list has a filter for each field and operator: those beyond equality are shown on demand.
const foldedFilters = ({ React: { createElement } }) => ({
  wrapComponents: {
    parameters: (Original) => (props) => {
      const folds = (props.parameters?.toJS?.() ?? []).filter(({ name }) => /__|^_/.test(name)).length;
      if (folds < 5) return createElement(Original, props);
      const toggle = ({ currentTarget: button }) => {
        const isFolded = button.parentElement.classList.toggle("folded");
        button.textContent = isFolded ? `Show ${folds} more filters` : "Show fewer filters";
      };
      return createElement(
        "div",
        { className: "folded" },
        createElement("button", { className: "fold", type: "button", onClick: toggle }, `Show ${folds} more filters`),
        createElement(Original, props),
      );
    },
  },
});

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}

function typed(complaint) {
  const label = element(
    "label",
    "This service asks for a key. On its machine, ",
    element("code", "persist keys create --name you --scope '*:read'"),
    " makes one. It stays in this tab, and what you see here is what it may do.",
  );
  const field = element("input");
  field.type = "password";
  field.placeholder = "Key";
  field.autocomplete = "off";
  label.htmlFor = field.id = "key";
  const refusal = element("span", complaint);
  refusal.role = "alert";
  const form = element("form", label, field, element("button", "Show"), refusal);
  document.getElementById("guide").open = false;
  document.getElementById("collections").append(form);
  field.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.remove();
      resolve(field.value.trim());
    });
  });
}

async function admitted() {
  while ((await fetch("./", { headers: authorization() })).status === 401) {
    key = await typed(key ? "This key is not known here." : "");
    sessionStorage.setItem(REMEMBERED, key);
  }
}

function show(source) {
  window.ui = SwaggerUIBundle({
    requestInterceptor: (request) => ({ ...request, headers: { ...authorization(), ...request.headers } }),
    onComplete: () => key && window.ui.preauthorizeApiKey("key", key),
    ...source,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    validatorUrl: "none",
    plugins: [linesAsTheyAre, foldedFilters],
  });
}

function link(text, address) {
  const made = element("a", text);
  made.href = address;
  return made;
}

function offer(collections, matching) {
  const search = element("input");
  search.type = "search";
  search.placeholder = `Filter ${collections.length} collections`;
  const list = element("ul");
  const draw = () => list.replaceChildren(...matching(collections, search.value).map(({ name, description }) =>
    element("li", link(name, `?collection=${name}`), ` ${description.split("\n")[0]}`)));
  search.addEventListener("input", draw);
  draw();
  const service = element("p", link("The service: transactions, changes, workspaces, snapshots …", "?service"));
  const everything = element("p", link("Everything in one document (slow)", "?collection="));
  document.getElementById("collections").append(service, search, list, everything);
}

// What belongs to no collection is a small part of the document.
async function ofTheService() {
  const whole = await (await fetch("openapi.json", { headers: authorization() })).json();
  const tags = new Set(whole["x-tagGroups"].find(({ name }) => name === "Service").tags);
  const isOwn = (item) => Object.values(item).every((operation) => tags.has(operation.tags[0]));
  const paths = Object.fromEntries(Object.entries(whole.paths).filter(([, item]) => isOwn(item)));
  return { ...whole, tags: whole.tags.filter(({ name }) => tags.has(name)), paths };
}

async function start() {
  await admitted();
  if (/^[a-z][a-z0-9-]{0,62}$/.test(chosen ?? "")) {
    document.getElementById("collections").append(link("All collections", "?"));
    return show({ url: `collections/${chosen}/openapi.json` });
  }
  if (params.has("service")) {
    document.body.className = "service";
    document.getElementById("collections").append(link("All collections", "?"));
    return show({ spec: await ofTheService() });
  }
  const answer = chosen === null ? await fetch("collections", { headers: authorization() }) : null;
  const collections = answer?.ok ? (await answer.json()).items : [];
  // Swagger UI's time grows with the document: where there are many collections, it gets that of one.
  const { MANY, matching } = await import("./collections.js");
  return collections.length > MANY ? offer(collections, matching) : show({ url: "openapi.json" });
}

start();
