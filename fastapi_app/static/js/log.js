/**
 * The log of a run that is under way: reads what was added and appends it as text.
 */

const EVERY_MS = 2_000;
const SOONEST_MS = 500;
const KEPT_CHARACTERS = 262_144;

const log = document.getElementById("log");
const head = document.getElementById(log.dataset.run);
const decoder = new TextDecoder();

let next = Number(log.dataset.logNext);
let reading = false;
let readAt = 0;
let timer = 0;

const isActive = () => head.dataset.active === "true";
const isAtBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;

function append(text) {
  if (!text) return;
  const follow = isAtBottom();
  // A carriage return redraws a line in a terminal; here each state is a line of its own.
  log.append(text.replace(/\r\n?/g, "\n"));
  document.getElementById("log-empty").hidden = true;
  forget(log.textContent.length - KEPT_CHARACTERS);
  if (follow) log.scrollTop = log.scrollHeight;
}

/** Remove as much from the top, and what is left of the line that this would cut. */
function forget(excess) {
  if (excess <= 0) return;
  document.getElementById("log-note").hidden = false;
  while (log.firstChild.nodeValue.length <= excess) {
    excess -= log.firstChild.nodeValue.length;
    log.firstChild.remove();
  }
  const first = log.firstChild;
  first.deleteData(0, first.nodeValue.indexOf("\n", excess) + 1 || excess);
}

/** Read what has been added since the last time: where that is more than is kept, the newest. */
async function read() {
  if (reading) return;
  reading = true;
  readAt = performance.now();
  try {
    const url = `${log.dataset.logUrl}?since=${next}&limit=${KEPT_CHARACTERS}`;
    const answer = await fetch(url);
    if (!answer.ok) return;
    const bytes = await answer.arrayBuffer();
    next = Number(answer.headers.get("Longshore-Log-Next"));
    const skipped = Number(answer.headers.get("Longshore-Log-Skipped"));
    if (skipped) append(`\n… ${skipped} bytes of output are not shown here …\n\n`);
    append(decoder.decode(bytes, { stream: true }));
  } catch {
    // The server is away for a moment: the next read brings what came meanwhile.
  } finally {
    reading = false;
  }
}

async function follow() {
  clearTimeout(timer);
  const wasActive = isActive();
  if (!document.hidden) await read();
  // Once more after the end: the last lines come with it.
  if (wasActive) timer = setTimeout(follow, EVERY_MS);
}

document.addEventListener("longshore-patched", ({ detail }) => {
  const isThisRun = `run-${detail.runId}` === head.id;
  if (isThisRun && isActive() && performance.now() - readAt > SOONEST_MS) read();
});

log.scrollTop = log.scrollHeight;
if (isActive()) follow();
