// Calls of the query API, relative to the page, as JSON.

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// `complete` of an answer without the header is null: a server that does not say.
function completeness(headers) {
  const text = headers.get('X-Pyroscope-Completeness');
  if (text === null)
    return null;
  const part = name => {
    const m = new RegExp(`${name}="([^"]*)"`).exec(text);
    return m ? m[1].split(',').filter(s => s !== '') : [];
  };
  return {complete: /^complete\b/.test(text), reasons: part('reasons'), silent: part('silent')};
}

export async function call(method, request, signal) {
  const started = performance.now();
  const answer = await fetch(`querier.v1.QuerierService/${method}`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Accept': '*/*;allow-utf8-labelnames=true',
      'Connect-Timeout-Ms': '60000',
    },
    body: JSON.stringify(request),
    signal,
  });
  const text = await answer.text();
  if (!answer.ok) {
    let error = {};
    try {
      error = JSON.parse(text);
    } catch {
      error = {message: text.slice(0, 300)};
    }
    throw new ApiError(answer.status, error.code || '', error.message || answer.statusText);
  }
  return {
    body: JSON.parse(text),
    completeness: completeness(answer.headers),
    ms: performance.now() - started,
  };
}

// One matcher of a selector.
export function matcher(name, op, value) {
  const quoted = JSON.stringify(value).replace(/[\u007f-\u009f\u2028\u2029]/g,
    c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `${/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : JSON.stringify(name)}${op}${quoted}`;
}

export function selector(matchers) {
  return `{${matchers.map(m => matcher(m.name, m.op, m.value)).join(',')}}`;
}

// "type{a="b",c=~"d"}" as {type, matchers}; null when it is not of the form that selector() makes.
export function parse(query) {
  const head = /^([^{]*)\{(.*)\}\s*$/s.exec(query);
  if (!head)
    return null;
  const matchers = [];
  const one = /\s*([a-zA-Z_][a-zA-Z0-9_]*|"(?:[^"\\]|\\.)*")\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")\s*(,|$)/ys;
  while (one.lastIndex < head[2].length) {
    const m = one.exec(head[2]);
    if (!m)
      return null;
    try {
      matchers.push({name: m[1].startsWith('"') ? JSON.parse(m[1]) : m[1], op: m[2],
        value: JSON.parse(m[3])});
    } catch {
      return null;
    }
  }
  return {type: head[1].trim(), matchers};
}
