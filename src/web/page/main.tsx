// The live page of a running switch: connects with the token of the URL, then draws what it is told.

import { render } from "preact";
import { applyTheme } from "../../explore/page/parts/theme.js";
import { App } from "./app.js";
import { Model } from "./model.js";
import { tokenOfPage } from "./stream.js";

applyTheme();
render(<App model={new Model(tokenOfPage())} />, document.getElementById("app")!);
