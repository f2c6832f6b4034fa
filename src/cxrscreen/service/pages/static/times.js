// Moments come in UTC and are shown in the reader's own zone; the full moment stays in the tooltip.

const two = (number) => String(number).padStart(2, "0");

export function written(moment) {
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ${two(moment.getHours())}:${two(moment.getMinutes())}`;
}

export function localise(root) {
  for (const time of root.querySelectorAll("time[data-moment]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.textContent = written(moment);
    time.title = moment.toLocaleString(undefined, { timeZoneName: "short" });
    time.removeAttribute("data-moment");
  }
}
