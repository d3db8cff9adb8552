// Pictures of items: a drawing of the department on a ground whose colour and pattern are the category's and the item's.
"use strict";

const DRAWINGS = [
  "M9 3l3 3 3-3 2 3-2.5 3L19 20H5l4.5-11L7 6z", // women's clothing
  "M5 9h14l1 11H4z M8.5 9V7a3.5 3.5 0 0 1 7 0v2 M9 13h6", // shoes and bags
  "M8 9h8v11H8z M9.5 9V6h5v3 M11 6V3.5h5 M8 13h8", // skin care
  "M9 12h6v9H9z M10 12V6.5l4-3V12 M9 16h6", // make-up and hair
  "M7.5 3h9v18h-9z M7.5 6h9 M7.5 17.5h9 M11.5 19.2h1", // phones and audio
  "M5 5h14v10H5z M2.5 19h19L19 15H5z", // computers
  "M3.5 16v-3.5l2-1L7.5 7h9l2 4.5 2 1V16z M5.5 11.5h13 M7 16.2a1.8 1.8 0 1 0 .1 0 M17 16.2a1.8 1.8 0 1 0 .1 0", // car
  "M14.5 4.5l5 5-2.5 2.5-5-5z M12.5 9.5l-8.5 8.5 2.5 2.500L15 12", // tools and garden
  "M6 11V7h12v4 M4 11h3v4h10v-4h3v7H4z M6 18v2 M18 18v2", // furniture
  "M5 10h14v6a3 3 0 0 1-3 3H8a3 3 0 0 1-3-3z M3 11h2 M19 11h2 M7 10a5 4 0 0 1 10 0 M12 4.500V6", // kitchen and home
  "M5 8h12v7a4 4 0 0 1-4 4H9a4 4 0 0 1-4-4z M17 10h2a2 2 0 0 1 0 4.500h-2 M8.5 3v2.5 M12 3v2.5", // snacks and drinks
  "M12 7c-2-1.5-6.5-1-6.5 5 0 5 3.5 8.5 6.5 7 3 1.5 6.5-2 6.5-7 0-6-4.5-6.5-6.5-5z M12 7c0-2 1-3.5 3-4", // groceries
  "M8.5 4L3.5 7l2 4 2.5-1v10h8V10l2.5 1 2-4-5-3a3.5 3 0 0 1-7 0z", // sportswear
  "M3 10v4 M6 7v10 M6 12h12 M18 7v10 M21 10v4 M3 12h3 M18 12h3", // fitness and outdoors
  "M12 6.500C9.5 4.5 6 4.5 3.5 5.500v13C6 17.5 9.5 17.5 12 19.500c2.5-2 6-2 8.5-1v-13C18 4.5 14.5 4.5 12 6.500z M12 6.500v13", // books
  "M9 17V5.500l10-2V15 M9 9l10-2 M9 17.200a2.8 2.3 0 1 1-5.6 0 2.8 2.3 0 0 1 5.6 0z M19 15.200a2.8 2.3 0 1 1-5.6 0 2.8 2.3 0 0 1 5.6 0z", // hobbies
  "M8 10h8v8.500A2.5 2.5 0 0 1 13.5 21h-3A2.5 2.5 0 0 1 8 18.500z M9 10a3 3 0 0 1 6 0 M12 3.500a1.5 1.5 0 0 1 1.5 1.500L13 7h-2l-.5-2A1.5 1.5 0 0 1 12 3.500z M8 14h3 M8 17h3", // baby care
  "M4 13h7v7H4z M13 13h7v7h-7z M8.5 5h7v7h-7z", // toys and school
  "M9.5 4h5v5.500H20v5h-5.500V20h-5v-5.500H4v-5h5.500z", // health
  "M12 12c-2.5 0-5 3-5 5.3 0 2.2 2 2.7 5 2 3 .7 5 .2 5-2C17 15 14.5 12 12 12z M6.5 9.500a1.5 2 0 1 0 .1 0 M10 5.500a1.5 2 0 1 0 .1 0 M14 5.500a1.5 2 0 1 0 .1 0 M17.5 9.500a1.5 2 0 1 0 .1 0", // pets
];
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function picture(item) {
  const department = Math.floor(item.cate / 10), leaf = item.cate % 10;
  let seed = (item.item_id * 2654435761) >>> 0;
  const draw = () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 4294967296;
  const hue = (department * 47 + leaf * 6) % 360;
  const ground = [svg("rect", { width: 120, height: 90, fill: `hsl(${hue} 52% ${58 + leaf}%)` })];
  for (let i = 0; i < 4; i++) {
    const [x, y, size] = [120 * draw(), 90 * draw(), 14 + 34 * draw()];
    const fill = `hsl(${(hue + 40 * draw() - 20 + 360) % 360} 60% ${62 + 16 * draw()}% / 0.55)`;
    const turn = `rotate(${Math.round(90 * draw())} ${x.toFixed(1)} ${y.toFixed(1)})`;
    ground.push(
      leaf % 3 === 0
        ? svg("circle", { cx: x, cy: y, r: size / 1.6, fill })
        : leaf % 3 === 1
          ? svg("rect", { x: x - size / 2, y: y - size / 2, width: size, height: size, rx: 5, fill, transform: turn })
          : svg("path", { d: `M${x} ${y - size / 1.7}l${size / 1.7} ${size}h${-size / 0.85}z`, fill, transform: turn }),
    );
  }
  const drawing = svg("path", {
    d: DRAWINGS[department] || DRAWINGS[0], fill: "hsl(0 0% 100% / 0.28)", stroke: "#fff", "stroke-width": 1.3, "stroke-linejoin": "round",
    "stroke-linecap": "round", transform: `translate(${60 - 27} ${45 - 27}) scale(2.25)`,
  });
  return svg("svg", { viewBox: "0 0 120 90", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true", focusable: "false", class: "picture" }, ...ground, drawing);
}
