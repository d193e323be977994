document.querySelectorAll("table.leaderboard").forEach(function (table) {
  var heads = table.querySelectorAll("thead tr:last-child th");
  var body = table.tBodies[0];
  var value = function (row, i) {
    if (!i) return row.cells[0].textContent.trim().toLowerCase();
    var text = row.cells[i] && row.cells[i].dataset.value;
    return text ? Number(text) : null;
  };
  heads.forEach(function (head, i) {
    var title = head.querySelector(".title") || head;
    var button = document.createElement("button");
    button.append(...title.childNodes);
    title.append(button);
    button.onclick = function () {
      var down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      Array.from(body.rows).sort(function (a, b) {
        var x = value(a, i), y = value(b, i);
        if (x === null || y === null) return (x === null) - (y === null);
        return (x < y ? 1 : x > y ? -1 : 0) * (down ? 1 : -1);
      }).forEach(function (row) { body.append(row); });
    };
  });
});
