"use strict";
// Everything can be read without this: it copies the link, says times in the reader's zone, and keeps the page
// up to date. HTML comes from this server alone, escaped there; the page's policy lets no other script run.
(() => {
  const PERIOD_MS = 3000, LONGEST_PERIOD_MS = 60000, DEADLINE_MS = 15000, MOST_MESSAGES = 300, QUOTED_LETTERS = 140;
  const find = (id) => document.getElementById(id);
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

  const sayTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      time.title = time.textContent;
      time.textContent = zone.format(new Date(time.dateTime));
    }
  };

  const copy = find("copy");
  if (copy) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const url = find("join-url");
      let copied;
      try {
        await navigator.clipboard.writeText(url.textContent);
        copied = true;
      } catch {
        // Without HTTPS there is no clipboard interface; the older way needs a selection.
        getSelection().selectAllChildren(url);
        copied = document.execCommand("copy");
      }
      find("copied").textContent = copied ? "The link is copied." : "The link is selected: copy it from there.";
    });
  }

  sayTimes(document);
  const list = find("messages");
  if (!list) return;

  const live = find("live");
  let seqno = Number(list.dataset.seqno), info = list.dataset.info;
  let failures = 0, isAsking = false, isOver = false, timer;

  const say = (text, state) => {
    live.hidden = false;
    live.className = `live ${state}`;
    if (live.textContent !== text) live.textContent = text;
  };

  const element = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    sayTimes(template.content);
    return template.content.firstElementChild;
  };

  const quotesOf = (id) => list.querySelectorAll(`.quote[data-of="${id}"]`);

  const remove = (id) => {
    find(`m${id}`)?.remove();
    for (const quote of quotesOf(id)) quote.querySelector(".quoted")?.remove();
  };

  const put = (id, html) => {
    const message = element(html), shown = find(`m${id}`);
    if (shown) {
      shown.replaceWith(message);
      const words = message.querySelector(".body")?.textContent ?? "";
      for (const quote of quotesOf(id)) {
        const quoted = quote.querySelector(".quoted");
        if (quoted) quoted.textContent = words.slice(0, QUOTED_LETTERS);
      }
    } else {
      // A change of a message that is older than all of these is for an older page.
      const oldest = list.lastElementChild;
      if (list.dataset.newest !== "yes" || (oldest && id < Number(oldest.dataset.id))) return;
      const next = [...list.children].find((other) => Number(other.dataset.id) < id);
      list.insertBefore(message, next ?? null);
    }
    message.classList.add("new");
  };

  const prune = () => {
    const older = find("older");
    while (list.children.length > MOST_MESSAGES) list.lastElementChild.remove();
    if (older && list.lastElementChild) {
      older.href = `${location.origin}${list.dataset.updates.replace(/updates$/, "")}?before=${list.lastElementChild.dataset.id}`;
    }
  };

  const apply = (news) => {
    for (const message of news.messages) {
      if (message.deleted) remove(message.id);
      else put(message.id, message.html);
    }
    prune();
    find("nothing").hidden = list.children.length > 0;
    if (news.heading !== undefined) {
      find("heading").innerHTML = news.heading;
      document.title = find("heading").querySelector("h1").textContent;
    }
    seqno = news.seqno;
    info = String(news.info_updates);
  };

  const ask = async () => {
    const answer = await fetch(`${list.dataset.updates}?since=${seqno}&info=${info}`, {
      cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(DEADLINE_MS),
    });
    if (answer.status === 403 || answer.status === 404) {
      isOver = true;
      say("This room can no longer be read here", "off");
      return null;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  };

  const update = async () => {
    if (isAsking || isOver || document.hidden) return;
    isAsking = true;
    let wait = PERIOD_MS;
    try {
      const news = await ask();
      if (!news) return;
      // A server that counts from the start again has forgotten what this page shows.
      if (news.seqno < seqno) return location.reload();
      apply(news);
      failures = 0;
      if (news.more) wait = 0;
      say("Live", "on");
    } catch {
      failures += 1;
      wait = Math.min(PERIOD_MS * 2 ** failures, LONGEST_PERIOD_MS);
      say(`No connection, trying again in ${wait / 1000} s`, "off");
    } finally {
      isAsking = false;
      schedule(wait);
    }
  };

  const schedule = (wait) => {
    clearTimeout(timer);
    if (isOver) return;
    if (document.hidden) say("Paused", "");
    else timer = setTimeout(update, wait);
  };

  document.addEventListener("visibilitychange", () => schedule(0));
  say("Live", "on");
  schedule(PERIOD_MS);
})();
