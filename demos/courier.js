// Something came for a tab: that tab's own event fetches it, once.
let last = 0;

function deliver() {
  const { to, number } = props.value ?? {};
  if (!places.includes(to) || number === last) return;
  last = number;
  trigger(to);
}

watch("value", deliver);
