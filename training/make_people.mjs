// Writes the parts of the people as SVG fragments, once per colour mask, as JSON on standard output.
//
//   node training/make_people.mjs NODE_MODULES > parts.json
//
// A part is affine in its fill colour, so two renders (the colour black, the colour white) give a base
// and a tint mask from which torch draws the part in any colour. `make_sprites.py` rasterises them.

import path from 'node:path';
import { pathToFileURL } from 'node:url';

const root = path.resolve(process.argv[2] ?? 'node_modules');
const load = (set, file) => import(pathToFileURL(`${root}/@dicebear/${set}/lib/components/${file}.js`));

const SETS = {
  personas: {
    box: 64,
    move: {
      eyes: '20 24', hair: '2 2', body: '11 44', mouth: '23 36', nose: '24 28', facialHair: '14 26',
    },
    hair: [
      'long', 'sideShave', 'shortCombover', 'curlyHighTop', 'bobCut', 'curly', 'pigtails', 'curlyBun',
      'buzzcut', 'bobBangs', 'bald', 'balding', 'bunUndercut', 'fade', 'straightBun', 'extraLong', 'mohawk',
    ],
    beard: ['beardMustache', 'walrus', 'goatee'],
    glasses: [],
    clothes: { squared: 'squared', rounded: 'rounded', checkered: 'checkered' },
    face: {
      happy: [['eyes', 'happy'], ['nose', 'mediumRound'], ['mouth', 'bigSmile']],
      smiling: [['eyes', 'open'], ['nose', 'mediumRound'], ['mouth', 'smile']],
      sad: [['eyes', 'open'], ['nose', 'mediumRound'], ['mouth', 'frown']],
      surprised: [['eyes', 'open'], ['nose', 'smallRound'], ['mouth', 'surprise']],
      sleepy: [['eyes', 'sleep'], ['nose', 'smallRound'], ['mouth', 'smirk']],
    },
    files: { hair: 'hair', beard: 'facialHair', clothes: 'body' },
  },
  avataaars: {
    box: 280,
    move: {
      clothing: '8 170', mouth: '86 134', nose: '112 122', eyes: '84 90', eyebrows: '84 82', top: '7 0',
      facialHair: '57 72', accessories: '70 42',
    },
    hair: [
      'bob', 'bun', 'curly', 'curvy', 'dreads', 'fro', 'longButNotTooLong', 'miaWallace', 'shavedSides',
      'straight01', 'straight02', 'dreads01', 'frizzle', 'shaggy', 'shaggyMullet', 'shortCurly', 'shortFlat',
      'shortRound', 'shortWaved', 'sides', 'theCaesar', 'bigHair',
    ],
    beard: ['beardLight', 'beardMedium', 'beardMajestic', 'moustacheFancy', 'moustacheMagnum'],
    glasses: ['prescription01', 'prescription02', 'round', 'sunglasses', 'wayfarers'],
    clothes: {
      blazer: 'blazerAndShirt', sweater: 'collarAndSweater', hoodie: 'hoodie', overall: 'overall',
      shirt: 'shirtCrewNeck', scoop: 'shirtScoopNeck', vneck: 'shirtVNeck',
    },
    face: {
      happy: [['mouth', 'smile'], ['nose', 'default'], ['eyes', 'happy'], ['eyebrows', 'defaultNatural']],
      smiling: [['mouth', 'twinkle'], ['nose', 'default'], ['eyes', 'default'], ['eyebrows', 'defaultNatural']],
      sad: [['mouth', 'sad'], ['nose', 'default'], ['eyes', 'default'], ['eyebrows', 'sadConcernedNatural']],
      surprised: [
        ['mouth', 'disbelief'], ['nose', 'default'], ['eyes', 'surprised'], ['eyebrows', 'raisedExcitedNatural'],
      ],
      sleepy: [['mouth', 'serious'], ['nose', 'default'], ['eyes', 'closed'], ['eyebrows', 'flatNatural']],
    },
    files: { hair: 'top', beard: 'facialHair', glasses: 'accessories', clothes: 'clothing' },
  },
};

const HEAD = {
  personas: (skin) =>
    `<path d="M37 46.08V52a5 5 0 0 1-10 0v-5.92A14.04 14.04 0 0 1 18.58 37h-.08a4.5 4.5 0 0 1-.5-8.97V27a14 14 0 1 1 28 0v1.03a4.5 4.5 0 0 1-.58 8.97A14.04 14.04 0 0 1 37 46.08Z" fill="${skin}"/><path d="M27.5 46.2a14 14 0 0 0 9 0v2.6a14 14 0 0 1-9 0Z" fill="#000" fill-opacity=".1"/>`,
  avataaars: (skin) =>
    `<g transform="translate(8)"><path d="M132 36a56 56 0 0 0-56 56v6.17A12 12 0 0 0 66 110v14a12 12 0 0 0 10.3 11.88 56.04 56.04 0 0 0 31.7 44.73v18.4h-4a72 72 0 0 0-72 72v9h200v-9a72 72 0 0 0-72-72h-4v-18.39a56.04 56.04 0 0 0 31.7-44.73A12 12 0 0 0 198 124v-14a12 12 0 0 0-10-11.83V92a56 56 0 0 0-56-56Z" fill="${skin}"/><path d="M108 180.61v8a55.79 55.79 0 0 0 24 5.39c8.59 0 16.73-1.93 24-5.39v-8a55.79 55.79 0 0 1-24 5.39 55.79 55.79 0 0 1-24-5.39Z" fill="#000" fill-opacity=".1"/></g>`,
};

// Blend modes depend on what lies below; a plain translucent layer keeps every part independent.
const plain = (svg) => svg.replace(/style="mix-blend-mode:[a-z-]+"/g, 'fill-opacity=".35"');

async function fragment(set, file, name, colour) {
  const component = (await load(set, file))[file][name];
  const colours = new Proxy({}, { get: () => colour });
  return `<g transform="translate(${SETS[set].move[file]})">${plain(component({}, colours))}</g>`;
}

async function part(set, pieces) {
  const wrap = (inner) =>
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SETS[set].box} ${SETS[set].box}" fill="none">${inner}</svg>`;
  const draw = async (colour) => wrap((await Promise.all(pieces.map((p) => p(colour)))).join(''));
  return { black: await draw('#000000'), white: await draw('#ffffff') };
}

const out = [];
for (const [set, spec] of Object.entries(SETS)) {
  out.push({ set, slot: 'head', name: 'head', ...(await part(set, [HEAD[set]])) });
  for (const slot of ['hair', 'beard', 'glasses'])
    for (const name of spec[slot])
      out.push({ set, slot, name, ...(await part(set, [(c) => fragment(set, spec.files[slot], name, c)])) });
  for (const [name, source] of Object.entries(spec.clothes))
    out.push({ set, slot: 'clothes', name, ...(await part(set, [(c) => fragment(set, spec.files.clothes, source, c)])) });
  for (const [name, pieces] of Object.entries(spec.face))
    out.push({ set, slot: 'face', name, ...(await part(set, pieces.map(([f, n]) => (c) => fragment(set, f, n, c)))) });
  if (set === 'personas')
    for (const name of ['glasses', 'sunglasses'])
      out.push({ set, slot: 'glasses', name, ...(await part(set, [(c) => fragment(set, 'eyes', name, c)])) });
}
process.stdout.write(JSON.stringify(out));
