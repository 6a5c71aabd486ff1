// The site has one language. A Korean page needs its own, so that a screen reader pronounces it and a browser's
// translator leaves it alone.
if (location.pathname.includes("/ko/")) document.documentElement.lang = "ko"
